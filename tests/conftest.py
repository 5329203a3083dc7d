"""What every level of tests uses: rendered projects."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kodex_answers import CHOICES
from tools.environments import CACHE, alone_with, environment

pytest_plugins = ["tests.executed", "tests.told", "tests.workers"]
ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "{{cookiecutter.project_slug}}" / "requirements"
ENGINES = ("stt_engine", "llm_engine", "tts_engine")

Answers = dict[str, str]
Render = Callable[[Answers], Path]


def product_of(*names: str) -> list[Answers]:
    """Return every combination of the named answers' choices."""
    combinations = itertools.product(*(CHOICES[name] for name in names))
    return [dict(zip(names, choices, strict=True)) for choices in combinations]


def name_of(answers: Answers) -> str:
    """Return a readable test id."""
    return "-".join(answers.values())


@pytest.fixture(scope="session")
def render(cookies_session: Any) -> Render:
    """Return a function that renders a project, once for each set of answers."""
    projects: dict[tuple[tuple[str, str], ...], Path] = {}

    def rendered(answers: Answers) -> Path:
        key = tuple(sorted(answers.items()))
        if key not in projects:
            result = cookies_session.bake(extra_context=answers)
            assert result.exception is None, result.exception
            projects[key] = result.project_path
        return projects[key]

    return rendered


@pytest.fixture(scope="session")
def every_engine() -> Path:
    """Return the Python of an environment with every engine: the locks agree on versions."""
    files = [LOCKS / f"{name}.txt" for name in ("torch-cpu", "dev-supertonic")]
    return environment([*files, *sorted(LOCKS.glob("cpu-*.txt"))])


@pytest.fixture(scope="session")
def weights(every_engine: Path) -> Path:
    """Return the folder of trained weights, fetched when it is not there."""
    folder = CACHE / "weights" / "packages"
    tool = [sys.executable, str(ROOT / "tools" / "weights.py"), str(folder), "--with-test-voice"]
    with alone_with(folder):
        subprocess.run([*tool, "--python", str(every_engine)], check=True)
    return folder


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a developer's own settings out of the services under test."""
    for name in os.environ:
        if name.startswith(("STT_", "LLM_", "TTS_", "API_KEYS", "SPOKEN_", "MESSAGE_")):
            monkeypatch.delenv(name)
