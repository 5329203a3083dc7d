"""A rendered project installs from its own locks and passes its own checks."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import LOCKS, Answers, Render, name_of, product_of
from tests.generated import own_suite
from tools.environments import CACHE, environment, runtime_files

pytestmark = pytest.mark.service
# Three projects have every engine there is.
ENGINE_CHOICES: list[Answers] = [
    {"stt_engine": "openai-whisper", "llm_engine": "transformers", "tts_engine": "supertonic"},
    {"stt_engine": "faster-whisper", "llm_engine": "transformers", "tts_engine": "espeak-ng"},
    {
        "stt_engine": "faster-whisper",
        "llm_engine": "openai-compatible",
        "tts_engine": "openai-compatible",
    },
]
ENGINE_SETS = product_of("stt_engine", "llm_engine", "tts_engine")


def run(command: list[str], project: Path) -> None:
    """Run a command in a project; it must succeed."""
    variables = {**os.environ, "MYPY_CACHE_DIR": str(CACHE / "mypy"), "RUFF_NO_CACHE": "true"}
    done = subprocess.run(
        command, cwd=project, check=False, capture_output=True, text=True, env=variables
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]


@pytest.mark.parametrize("engines", ENGINE_CHOICES, ids=name_of)
def test_own_suite_passes(engines: Answers, render: Render) -> None:
    # Given a project, and an environment of just what its locks name
    project = render(engines)
    python = environment([*runtime_files(project), project / "requirements-dev.txt"])
    # When its own tests run, with their coverage gate
    # Then they pass
    run(own_suite.command(project, python), project)


def test_own_suite_of_a_gpu_project_passes(render: Render) -> None:
    # Given a GPU project, and its locks but for torch, which is the CPU's here
    answers = {"stt_engine": "faster-whisper", "llm_engine": "transformers"}
    project = render({**answers, "device": "gpu", "tts_engine": "espeak-ng"})
    files = [LOCKS / "torch-cpu.txt", project / "requirements.txt"]
    python = environment([*files, project / "requirements-dev.txt"])
    # When its own tests run, and its types are checked
    # Then both pass
    run(own_suite.command(project, python), project)
    run([str(python), "-m", "mypy"], project)


@pytest.mark.parametrize("engines", ENGINE_SETS, ids=name_of)
def test_types_are_right(engines: Answers, render: Render, every_engine: Path) -> None:
    # Given a project of any set of engines
    project = render(engines)
    # When its types are checked as strictly as it asks for
    # Then they are right
    run([str(every_engine), "-m", "mypy"], project)


@pytest.mark.parametrize(
    "name",
    ["cpu-openai-whisper-transformers-supertonic", "cpu-faster-whisper-transformers-espeak-ng"],
)
def test_environment_has_no_cuda(name: str) -> None:
    # Given the environment of a CPU project
    python = environment([LOCKS / "torch-cpu.txt", LOCKS / f"{name}.txt"])
    # When what is installed is listed
    folders = [folder.name for folder in python.parent.parent.glob("lib/python*/site-packages/*")]
    # Then nothing of it is for a GPU
    assert "torch" in folders
    assert not [name for name in folders if name.startswith(("nvidia", "triton", "cuda"))]
