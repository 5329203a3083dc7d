"""The GPU image with its real CUDA wheels: gigabytes, `make test-slow`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Answers, Render, name_of
from tests.containers.conftest import CUDA_TAG, Build
from tests.containers.engine import FRESH, KEY, docker, running
from tests.containers.layers import files, layers, problems

pytestmark = pytest.mark.slow
ENGINES: list[Answers] = [
    # torch brings CUDA; and CUDA's libraries without torch.
    {"stt_engine": "faster-whisper", "llm_engine": "transformers"},
    {"stt_engine": "faster-whisper", "llm_engine": "openai-compatible"},
]
# Both ask cuBLAS and cuDNN for their versions, by the names under which CTranslate2 opens them.
PROBE = """
import ctypes, json
from app.ai.devices.cuda import load_libraries
load_libraries()
import ctranslate2
cublas, cudnn = ctypes.CDLL("libcublas.so.12"), ctypes.CDLL("libcudnn.so.9")
cudnn.cudnnGetVersion.restype = ctypes.c_size_t
cublas.cublasGetCudartVersion.restype = ctypes.c_size_t
try:
    import torch
    cuda, there = torch.version.cuda, torch.cuda.is_available()
except ModuleNotFoundError:
    cuda, there = "none", False
print(json.dumps([cudnn.cudnnGetVersion(), cublas.cublasGetCudartVersion(), cuda, there,
                  ctranslate2.get_cuda_device_count()]))
"""


@pytest.fixture(scope="module", params=ENGINES, ids=name_of)
def image(request: pytest.FixtureRequest, render: Render, build: Build) -> Iterator[str]:
    """Return the GPU image, just as `make image` builds it."""
    answers = {**request.param, "device": "gpu", "tts_engine": "espeak-ng"}
    name = build(render({**answers, "project_slug": f"cuda-{request.param['llm_engine']}"}), "gpu")
    yield name
    docker("rmi", name)


def test_torch_and_ctranslate2_find_their_cuda(image: str) -> None:
    # Given the image, without a path set for any library
    # When its libraries are asked who they are
    out = docker("run", "--rm", "--read-only", image, "python", "-c", PROBE)
    cudnn, cublas, cuda, there, devices = json.loads(out.splitlines()[-1])
    # Then they are those of CUDA 12 that the base has, and they see that there is no GPU
    assert cudnn >= 90_000
    assert cublas // 1000 == 12
    assert cuda in {CUDA_TAG[:4], "none"}
    assert (there, devices) == (False, 0)


def test_it_says_that_there_is_no_gpu(image: str) -> None:
    # Given the image on a machine without a GPU
    with running(image, *FRESH, settings={"API_KEYS": f"me:{KEY}"}) as container:
        # When it is started, Then one line says so
        status, log = container.until_exited()
    assert status == os.EX_UNAVAILABLE
    assert len(log.splitlines()) == 1
    assert "no NVIDIA driver is in reach" in log


def test_no_layer_holds_what_does_not_belong(image: str, tmp_path: Path) -> None:
    # Given the layers of the image, When each file is looked at, Then none is out of place
    found = list(files(layers(image, tmp_path)))
    shutil.rmtree(tmp_path)
    sizes = {n: sum(f.size for f in found if f.layer == n) for n in {f.layer for f in found}}
    print({number: f"{size / 1e6:.0f} MB" for number, size in sizes.items()})
    assert problems(found, cuda=True) == []
