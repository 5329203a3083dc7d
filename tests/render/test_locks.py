"""The locked requirements: complete, without addresses, lean on the CPU."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.conftest import LOCKS as FOLDER
from tests.conftest import ROOT, Answers, Render, name_of, product_of
from tools.lock import rendered

LOCKS = sorted(FOLDER.glob("*.txt"))
CPU = [lock for lock in LOCKS if lock.stem.startswith(("cpu-", "torch-cpu"))]


def versions(lock: Path) -> dict[str, str]:
    """Return package and version of every pin."""
    pins = re.findall(r"^([a-z0-9-]+)==([^ \\\n]+)", lock.read_text("utf-8"), re.MULTILINE)
    return dict(pins)


@pytest.mark.parametrize(
    "lock", [*LOCKS, ROOT / "requirements-dev.txt"], ids=lambda lock: lock.stem
)
def test_lock_is_hashed_and_has_no_address(lock: Path) -> None:
    # Given a lock
    text = lock.read_text("utf-8")
    # When its requirements are read
    requirements = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    # Then each has a hash, and no line an address
    assert requirements
    assert all("--hash=sha256:" in requirement for requirement in requirements)
    assert not re.search(r"https?:|file:|--index|--find-links|@ ", text)


@pytest.mark.parametrize(
    "answers", product_of("device", "stt_engine", "llm_engine", "tts_engine"), ids=name_of
)
def test_lock_has_what_the_project_asks_for(
    answers: Answers, render: Render, tmp_path: Path
) -> None:
    # Given a project, and its pyproject.toml as `make lock` reads it
    project = render(answers)
    source = rendered(answers["device"], dict(list(answers.items())[1:]), tmp_path)
    wanted = tomllib.loads((source / "pyproject.toml").read_text("utf-8"))
    groups = wanted["project"]["dependencies"], wanted["dependency-groups"]["dev"]
    # When its locks are read
    locked = {name for lock in project.glob("requirements*.txt") for name in versions(lock)}
    # Then nothing that it asks for is missing
    assert {re.split(r"[\[=<>]", line)[0] for group in groups for line in group} <= locked


@pytest.mark.parametrize("lock", CPU, ids=lambda lock: lock.stem)
def test_cpu_has_no_cuda_and_no_triton(lock: Path) -> None:
    # Given a lock of the CPU variant
    # When its packages are listed
    # Then none is for a GPU
    assert not [name for name in versions(lock) if re.match(r"nvidia|cuda|triton", name)]
    assert versions(lock).get("torch", "+cpu").endswith("+cpu")


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_variants_of_a_device_agree(device: str) -> None:
    # Given every lock of a device, and those of the tools
    locks = [
        lock for lock in LOCKS if lock.stem.startswith((f"{device}-", "dev", f"torch-{device}"))
    ]
    # When their pins are put together
    pins = {pin for lock in locks for pin in versions(lock).items()}
    # Then no package has two versions
    names = [name for name, _ in pins]
    assert len(names) == len(set(names))
