import ctypes
import os
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pynvml
import pytest

from app.ai.devices import DeviceError, cuda

GIB = 1024**3


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Put a driver with one GPU in the place of the machine's."""
    fake = SimpleNamespace(
        NVMLError=pynvml.NVMLError,
        nvmlInit=Mock(),
        nvmlShutdown=Mock(),
        nvmlDeviceGetCount=Mock(return_value=2),
        nvmlSystemGetCudaDriverVersion_v2=Mock(return_value=12_080),
        nvmlSystemGetDriverVersion=Mock(return_value="470.82.01"),
        nvmlDeviceGetHandleByIndex=Mock(side_effect=lambda number: f"gpu {number}"),
        nvmlDeviceGetHandleByUUID=Mock(side_effect=lambda name: name),
        nvmlDeviceGetUUID=Mock(side_effect=lambda gpu: f"GPU-{gpu[-1]}932-4a0f"),
        nvmlDeviceGetMemoryInfo=Mock(return_value=SimpleNamespace(total=24 * GIB)),
        nvmlDeviceGetName=Mock(return_value="NVIDIA L4"),
    )
    monkeypatch.setattr(cuda, "pynvml", fake)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    return fake


def test_the_gpu_is_named_with_its_memory(driver: SimpleNamespace) -> None:
    # Given a driver and a GPU, When prepared, Then it is named, and the driver is let go
    assert cuda.prepare() == "cuda: NVIDIA L4, 24 GiB"
    driver.nvmlShutdown.assert_called_once()


@pytest.mark.parametrize(
    ("visible", "gpu"),
    [
        ("0", "gpu 0"),
        ("1", "gpu 1"),
        ("1,0", "gpu 1"),
        ("GPU-1932", "gpu 1"),
        ("GPU-0932-4a0f", "gpu 0"),
        ("MIG-b1", "MIG-b1"),
    ],
)
def test_the_gpu_is_the_one_that_cuda_will_use(
    driver: SimpleNamespace, visible: str, gpu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a choice among two GPUs, counted as the machine does
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    # When prepared, Then the first one chosen is looked at
    cuda.prepare()
    driver.nvmlDeviceGetName.assert_called_once_with(gpu)
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_no_driver_is_told_with_what_to_do(driver: SimpleNamespace) -> None:
    # Given a container without the driver
    driver.nvmlInit.side_effect = pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    # When prepared, Then one sentence tells cause and remedy
    with pytest.raises(DeviceError, match=r"no NVIDIA driver is in reach.*--gpus all"):
        cuda.prepare()


def test_an_old_driver_is_told_with_the_one_that_is_needed(driver: SimpleNamespace) -> None:
    # Given a driver of CUDA 11
    driver.nvmlSystemGetCudaDriverVersion_v2.return_value = 11_040
    # When prepared, Then both versions are told
    with pytest.raises(DeviceError, match=r"470\.82\.01 is too old.*525"):
        cuda.prepare()


@pytest.mark.parametrize(
    ("count", "visible"), [(0, "0"), (1, ""), (1, "-1"), (1, "3"), (1, "void"), (1, "GPU-7")]
)
def test_a_gpu_that_is_hidden_is_told(
    driver: SimpleNamespace, count: int, visible: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a driver without a GPU, or one that CUDA may not see
    driver.nvmlDeviceGetCount.return_value = count
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    # When prepared, Then that is told
    with pytest.raises(DeviceError, match="no GPU is visible"):
        cuda.prepare()


def test_a_gpu_that_fails_is_told(driver: SimpleNamespace) -> None:
    # Given a GPU that has fallen off the bus
    driver.nvmlDeviceGetName.side_effect = pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
    # When prepared, Then that is told, and the driver is let go
    with pytest.raises(DeviceError, match="does not answer"):
        cuda.prepare()
    driver.nvmlShutdown.assert_called_once()


def test_the_libraries_come_from_their_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given cuBLAS and cuDNN as packages lay them down
    files = [tmp_path / name for name in cuda.LIBRARIES]
    for file in files:
        file.parent.mkdir(parents=True)
        file.touch()
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    load = Mock()
    monkeypatch.setattr(cuda.importlib.util, "find_spec", Mock(return_value=spec))
    monkeypatch.setattr(ctypes, "CDLL", load)
    # When they are loaded, Then others find them by their bare names
    cuda.load_libraries()
    assert [call.args for call in load.mock_calls] == [(str(file),) for file in files]
    assert all(call.kwargs == {"mode": ctypes.RTLD_GLOBAL} for call in load.mock_calls)
    # And one that does not fit is told
    load.side_effect = OSError("invalid ELF header")
    with pytest.raises(DeviceError, match="invalid ELF header"):
        cuda.load_libraries()
