"""An NVIDIA GPU."""

import ctypes
import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pynvml
from prometheus_client import Metric

from app.ai.devices import DeviceError
from app.ai.gpu_metrics import gpu_metrics

# CUDA 12 of any minor version runs on every driver from this one on (NVIDIA, "CUDA
# Compatibility", minor version compatibility).
OLDEST_DRIVER = "525.60.13"
OLDEST_CUDA = 12_000
GIB = 1024**3
# Opened by their bare names by some engines; torch finds its own.
LIBRARIES = ("cublas/lib/libcublas.so.12", "cudnn/lib/libcudnn.so.9")


def prepare() -> str:
    """Load CUDA's libraries and return the name and memory of the GPU that will be used.

    Raises:
        DeviceError: no driver or no GPU is in reach, or the driver or a library does not fit.
    """
    # CUDA would count the fastest GPU first; NVML, and people, count as the machine does.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    load_libraries()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise DeviceError(
            f"DEVICE is cuda, but no NVIDIA driver is in reach ({error}). Start the container with "
            "--gpus all, on a machine with the driver and the NVIDIA Container Toolkit."
        ) from error
    try:
        return _describe()
    except pynvml.NVMLError as error:
        raise DeviceError(f"DEVICE is cuda, but the GPU does not answer: {error}.") from error
    finally:
        pynvml.nvmlShutdown()


def metrics() -> Iterable[Metric]:
    """Return what the driver tells of each GPU."""
    return gpu_metrics()


def load_libraries() -> None:
    """Load cuBLAS and cuDNN from their packages, so that no path has to be set for them."""
    spec = importlib.util.find_spec("nvidia")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        for name in LIBRARIES:
            file = Path(folder) / name
            if file.is_file():
                try:
                    ctypes.CDLL(str(file), mode=ctypes.RTLD_GLOBAL)
                except OSError as error:
                    raise DeviceError(f"CUDA's libraries cannot be loaded: {error}.") from error


def _describe() -> str:
    version = pynvml.nvmlSystemGetCudaDriverVersion_v2()
    if version < OLDEST_CUDA:
        raise DeviceError(
            f"The NVIDIA driver {pynvml.nvmlSystemGetDriverVersion()} is too old for CUDA 12: "
            f"install {OLDEST_DRIVER} or a later one."
        )
    gpu = _first_visible()
    memory = pynvml.nvmlDeviceGetMemoryInfo(gpu).total / GIB
    return f"cuda: {pynvml.nvmlDeviceGetName(gpu)}, {memory:.0f} GiB"


def _first_visible() -> Any:
    """Return the GPU that CUDA counts as its first; ``CUDA_VISIBLE_DEVICES`` chooses it.

    As for CUDA itself, a number counts the GPUs, and a name may be the beginning of a UUID.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
    for number in range(pynvml.nvmlDeviceGetCount()):
        gpu = pynvml.nvmlDeviceGetHandleByIndex(number)
        if chosen == str(number):
            return gpu
        if chosen.startswith("GPU-") and pynvml.nvmlDeviceGetUUID(gpu).startswith(chosen):
            return gpu
    if chosen.startswith("MIG-"):
        return pynvml.nvmlDeviceGetHandleByUUID(chosen)
    raise DeviceError(
        "DEVICE is cuda, but no GPU is visible here. Start the container with --gpus all, and "
        "leave CUDA_VISIBLE_DEVICES unset or name a GPU in it."
    )
