from collections.abc import Iterator
from types import SimpleNamespace

import pynvml
import pytest

from app.ai import gpu_metrics
from app.ai.devices import cuda
from tests.helpers import values_of

GIB = 1024**3


@pytest.fixture(autouse=True)
def _forget_the_driver() -> Iterator[None]:
    gpu_metrics._driver_is_there.cache_clear()
    yield
    gpu_metrics._driver_is_there.cache_clear()


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Put a driver with two GPUs in the place of the machine's."""
    fake = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda number: number,
        nvmlDeviceGetUtilizationRates=lambda gpu: SimpleNamespace(gpu=75),
        nvmlDeviceGetMemoryInfo=lambda gpu: SimpleNamespace(used=6 * GIB, total=24 * GIB),
        nvmlDeviceGetTemperature=lambda gpu, sensor: 61,
        nvmlDeviceGetPowerUsage=lambda gpu: 71_500,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda gpu: (
            pynvml.nvmlClocksThrottleReasonHwThermalSlowdown
        ),
    )
    for name in vars(fake):
        monkeypatch.setattr(pynvml, name, lambda *args, name=name: getattr(fake, name)(*args))
    return fake


def test_each_gpu_is_told_in_base_units(driver: SimpleNamespace) -> None:
    # Given two GPUs, When Prometheus reads
    found = values_of(cuda.metrics())
    # Then each tells its work, memory, heat and power
    for gpu in "01":
        assert found["gpu_utilization_ratio", gpu] == 0.75
        assert found["gpu_memory_used_bytes", gpu] == 6 * GIB
        assert found["gpu_memory_size_bytes", gpu] == 24 * GIB
        assert found["gpu_temperature_celsius", gpu] == 61
        assert found["gpu_power_watts", gpu] == 71.5
        # And why it is slow
        assert found["gpu_throttled", gpu, "thermal"] == 1
        assert found["gpu_throttled", gpu, "power"] == 0
        assert found["gpu_throttled", gpu, "hardware"] == 0


def test_a_sensor_that_a_gpu_lacks_is_left_out(driver: SimpleNamespace) -> None:
    # Given GPUs that do not tell their power, and one that does not answer at all
    def refuse(*_: object) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    driver.nvmlDeviceGetPowerUsage = refuse
    # When Prometheus reads, Then the rest is there
    found = values_of(cuda.metrics())
    assert not [key for key in found if key[0] == "gpu_power_watts"]
    assert found["gpu_temperature_celsius", "0"] == 61
    # And when no GPU answers, there is nothing
    driver.nvmlDeviceGetHandleByIndex = refuse
    assert values_of(cuda.metrics()) == {}


def test_a_machine_without_a_driver_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a machine whose driver is missing
    def missing() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    # When Prometheus reads, Then there is no series, and no error
    assert values_of(cuda.metrics()) == {}
