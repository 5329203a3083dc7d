"""The container files of every variant, by the tools that read them."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.conftest import Answers, Render, name_of, product_of

VARIANTS = product_of("device", "stt_engine", "llm_engine", "tts_engine")
each_variant = pytest.mark.parametrize("answers", VARIANTS, ids=name_of)


@each_variant
def test_hadolint_at_its_strictest_finds_nothing(answers: Answers, render: Render) -> None:
    # Given a Dockerfile
    project = render(answers)
    # When hadolint reads it, with no rule left out and no pragma obeyed
    hadolint = Path(sysconfig.get_path("scripts"), "hadolint")
    strict = ["--failure-threshold=style", "--disable-ignore-pragma", "--no-color"]
    done = subprocess.run(
        [str(hadolint), *strict, "Dockerfile"],
        cwd=project,
        check=False,
        capture_output=True,
        text=True,
    )
    # Then it finds nothing
    assert done.returncode == 0, done.stdout
    assert not done.stdout


@each_variant
def test_gpu_files_are_the_gpu_variants_alone(answers: Answers, render: Render) -> None:
    # Given a project, When its files are listed, Then those of the GPU are there or not at all
    project = render(answers)
    gpu = answers["device"] == "gpu"
    assert (project / "compose.cuda.yaml").exists() is gpu
    assert (project / "app" / "ai" / "devices" / "cuda.py").exists() is gpu
    assert ("COMPOSE_FILE=" in (project / ".env").read_text("utf-8")) is gpu
