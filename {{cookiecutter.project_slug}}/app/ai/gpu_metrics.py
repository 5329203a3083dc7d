"""What NVIDIA's driver tells of each GPU. A machine without a driver has no GPU, and no metric."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import pynvml
from prometheus_client import Metric

from app.core.metrics import gauge

PERCENT = 100
MILLIWATTS = 1000
# Why a GPU runs slower than it could (nvml.h, "nvmlClocksEventReasons").
REASONS = {
    "thermal": pynvml.nvmlClocksThrottleReasonSwThermalSlowdown
    | pynvml.nvmlClocksThrottleReasonHwThermalSlowdown,
    "power": pynvml.nvmlClocksThrottleReasonSwPowerCap
    | pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown,
    "hardware": pynvml.nvmlClocksThrottleReasonHwSlowdown,
}
READINGS: tuple[tuple[str, str, Callable[[Any], float]], ...] = (
    (
        "gpu_utilization_ratio",
        "Share of the last second in which the GPU has worked.",
        lambda gpu: pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu / PERCENT,
    ),
    (
        "gpu_memory_used_bytes",
        "Memory of the GPU that is in use.",
        lambda gpu: pynvml.nvmlDeviceGetMemoryInfo(gpu).used,
    ),
    (
        "gpu_memory_size_bytes",
        "Memory of the GPU.",
        lambda gpu: pynvml.nvmlDeviceGetMemoryInfo(gpu).total,
    ),
    (
        "gpu_temperature_celsius",
        "Temperature of the GPU.",
        lambda gpu: pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU),
    ),
    (
        "gpu_power_watts",
        "Power that the GPU draws.",
        lambda gpu: pynvml.nvmlDeviceGetPowerUsage(gpu) / MILLIWATTS,
    ),
)


def gpu_metrics() -> Iterable[Metric]:
    """Return the readings of every GPU in reach; what a GPU does not tell is left out."""
    gpus = dict(_gpus())
    for name, text, read in READINGS:
        yield gauge(name, text, dict(_told(gpus, read)), "gpu")
    masks = dict(_told(gpus, pynvml.nvmlDeviceGetCurrentClocksThrottleReasons))
    throttled = {
        (gpu, reason): bool(int(mask) & bits)
        for (gpu,), mask in masks.items()
        for reason, bits in REASONS.items()
    }
    text = "Whether the GPU runs slower than it could, by the reason."
    yield gauge("gpu_throttled", text, throttled, "gpu", "reason")


@cache
def _driver_is_there() -> bool:
    """Open the driver, once for the life of the process: that takes it a while."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True


def _gpus() -> Iterator[tuple[str, Any]]:
    if not _driver_is_there():
        return
    with suppress(pynvml.NVMLError):
        for number in range(pynvml.nvmlDeviceGetCount()):
            yield str(number), pynvml.nvmlDeviceGetHandleByIndex(number)


def _told(
    gpus: dict[str, Any], read: Callable[[Any], float]
) -> Iterator[tuple[tuple[str, ...], float]]:
    for number, gpu in gpus.items():
        with suppress(pynvml.NVMLError):  # not every GPU has every sensor
            yield (number,), read(gpu)
