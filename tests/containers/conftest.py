"""Images of rendered projects, built by a real engine with the projects' own commands."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import LOCKS, ROOT, Render
from tests.containers.engine import KEY, Container, docker, running, volumes
from tools.environments import CACHE, pip_setting
from tools.service_process import free_port

BASES = os.environ.get("KODEX_BASE_IMAGES", "stand-in")
CUDA_TAG = "12.8.1-base-ubuntu22.04"
STAND_INS = {
    "cpu": "kodex-stand-in/python:3.11-slim",
    "gpu": f"kodex-stand-in/cuda:{CUDA_TAG}",
}
CANARY = "canary-6f1d2c"
MOUNTED = "/weights"
# Where a service in a container finds the trained weights that a test mounts.
TRAINED = {"SPOKEN_LANGUAGE": "en", "MESSAGE_LANGUAGE": "en", "LLM_TEMPERATURE": "0"}

Build = Callable[..., str]


@dataclass(frozen=True)
class Image:
    """An image of a rendered project."""

    name: str
    project: Path
    settings: dict[str, str]
    """What it needs to run with the weights mounted."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder: it needs a container engine."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.containers)


@pytest.fixture(scope="session")
def engine() -> None:
    """See that an engine and the base images are there.

    `KODEX_BASE_IMAGES=official` takes the bases that the Dockerfiles name, from their registry.
    """
    assert BASES in {"official", "stand-in"}, "KODEX_BASE_IMAGES: official or stand-in"
    tools: list[tuple[object, ...]] = [(ROOT / "tools/container-engine.sh",)]
    if BASES == "stand-in":
        tools.append((ROOT / "tools/stand-in-images.sh", CUDA_TAG, CACHE / "stand-ins"))
    for tool in tools:
        command = [str(part) for part in tool]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode == 0:
            continue
        if os.environ.get("KODEX_REQUIRE_REAL"):
            pytest.fail(done.stderr)
        pytest.skip(done.stderr)


@pytest.fixture(scope="session")
def build(engine: None) -> Build:
    """Return a function that builds a project's image by `make image`, and returns its name."""

    def built(project: Path, device: str, *flags: str) -> str:
        (project / ".env").write_text(f"API_KEYS=default:{CANARY}\n", "utf-8")
        if BASES == "stand-in":
            flags = (*flags, f"--build-arg BASE_IMAGE={STAND_INS[device]}")
        variables = {
            **os.environ,
            "VERSION": "test",
            "BUILD_FLAGS": " ".join(("--quiet", *flags)),
            "PIP_FIND_LINKS": pip_setting("find-links"),
        }
        subprocess.run(
            ["make", "image"], cwd=project, check=True, env=variables, capture_output=True
        )
        return f"ghcr.io/my-org/{project.name}:test"

    return built


@pytest.fixture(scope="session")
def cpu_image(render: Render, build: Build) -> Image:
    """Return the CPU image with openai-whisper and transformers."""
    project = render({"project_slug": "cpu-image", "tts_engine": "espeak-ng"})
    weights = {
        "STT_MODEL": f"{MOUNTED}/whisper-base.pt",
        "LLM_MODEL": f"{MOUNTED}/smollm2-135m-instruct",
    }
    return Image(build(project, "cpu"), project, weights | TRAINED)


@pytest.fixture(scope="session")
def gpu_image(render: Render, build: Build) -> Image:
    """Return the GPU image with faster-whisper, and torch's CPU wheel in the place of CUDA's."""
    answers = {"device": "gpu", "stt_engine": "faster-whisper", "tts_engine": "espeak-ng"}
    project = render({**answers, "project_slug": "gpu-image"})
    shutil.copy(LOCKS / "torch-cpu.txt", project / "requirements-torch-cpu.txt")
    flags = "--build-arg TORCH_REQUIREMENTS=requirements-torch-cpu.txt"
    weights = {
        "STT_MODEL": f"{MOUNTED}/whisper-base-ct2",
        "LLM_MODEL": f"{MOUNTED}/smollm2-135m-instruct",
    }
    return Image(build(project, "gpu", flags), project, weights | TRAINED)


@pytest.fixture(scope="session")
def light_image(render: Render, build: Build) -> Image:
    """Return a CPU image that starts in seconds: its language model is a server's."""
    answers = {"stt_engine": "faster-whisper", "llm_engine": "openai-compatible"}
    project = render({**answers, "tts_engine": "espeak-ng", "project_slug": "light-image"})
    weights = {"STT_MODEL": f"{MOUNTED}/whisper-base-ct2"}
    return Image(build(project, "cpu"), project, weights | TRAINED)


@pytest.fixture
def project(light_image: Image, weights: Path, tmp_path: Path) -> Path:
    """Return a copy of a project, with a .env as its owner would write it."""
    folder = tmp_path / light_image.project.name
    shutil.copytree(light_image.project, folder)
    settings = {
        "API_KEYS": f"me:{KEY}",
        "PORT": str(free_port()),
        "MODELS_VOLUME": str(weights),
        "STT_MODEL": "whisper-base-ct2",
        "SPOKEN_LANGUAGE": "en",
    }
    lines = "".join(f"{name}={value}\n" for name, value in settings.items())
    (folder / ".env").write_text(lines, "utf-8")
    return folder


@pytest.fixture
def light(light_image: Image, weights: Path) -> Iterator[Container]:
    """Return a running container of the light image, ready."""
    options = f"--volume={weights}:{MOUNTED}:ro"
    with (
        volumes("/srv/data", "/srv/static/tts") as kept,
        running(light_image.name, options, *kept.options(), settings=light_image.settings) as made,
    ):
        made.until_ready()
        yield made


def layer_ids(image: str) -> list[str]:
    """Return the ids of an image's layers, base first."""
    return docker("inspect", "--format", '{{join .RootFS.Layers " "}}', image).split()
