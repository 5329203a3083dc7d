"""Rendering the default project, against a template of one file and the same cookiecutter."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tools.environments import ROOT

ROUNDS = 15


def render_seconds(template: Path) -> float:
    """Return the wall seconds of one rendering, the process's start included."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "cookiecutter", str(template), "--no-input", "-o", folder]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started


def one_file_template(folder: Path) -> Path:
    """Make the smallest template there is."""
    project = folder / "{{cookiecutter.project_slug}}"
    project.mkdir()
    (folder / "cookiecutter.json").write_text('{"project_slug": "one"}\n', encoding="utf-8")
    (project / "README.md").write_text("# {{ cookiecutter.project_slug }}\n", encoding="utf-8")
    return folder


def ratio() -> float:
    """Return the median ratio: this template over the one-file template, round by round."""
    with tempfile.TemporaryDirectory() as folder:
        small = one_file_template(Path(folder))
        render_seconds(small)
        render_seconds(ROOT)
        return statistics.median(
            render_seconds(ROOT) / render_seconds(small) for _ in range(ROUNDS)
        )
