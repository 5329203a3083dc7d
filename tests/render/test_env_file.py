"""The generated secrets stay on the machine."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

from tests.conftest import Render


def git(project: Path, *arguments: str) -> str:
    """Run git in a project."""
    command = ["git", "-c", "core.excludesFile=/dev/null", *arguments]
    return subprocess.run(command, cwd=project, check=True, capture_output=True, text=True).stdout


def keys(project: Path) -> dict[str, str]:
    """Return the values in ``.env``."""
    lines = (project / ".env").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_env_has_a_random_key_that_others_cannot_read(render: Render) -> None:
    # Given two projects
    one, two = render({"project_slug": "one"}), render({"project_slug": "two"})
    # When their .env files are read
    first, second = keys(one)["API_KEYS"], keys(two)["API_KEYS"]
    # Then each has a long key of its own, and mode 600
    assert first != second
    assert "change-me by a random value" not in first
    assert len(first.removeprefix("default:")) >= 32
    assert stat.S_IMODE((one / ".env").stat().st_mode) == 0o600


def test_example_holds_placeholders_only(render: Render) -> None:
    # Given a project
    project = render({"llm_engine": "openai-compatible", "tts_engine": "openai-compatible"})
    # When its .env.example is read
    lines = (project / ".env.example").read_text("utf-8").splitlines()
    values = [line.split("=", 1)[1] for line in lines if line[:1].isupper()]
    # Then every value is a placeholder or empty
    assert set(values) == {"default:change-me", ""}


def test_git_add_stages_no_secret(render: Render, tmp_path: Path) -> None:
    # Given a fresh project, with weights, data and a spoken answer in it
    project = render({"project_slug": "fresh"})
    for name in ("models/weights.bin", "data/store.db", "static/tts/answer.wav"):
        (project / name).write_bytes(b"x")
    secret = keys(project)["API_KEYS"].removeprefix("default:")
    # When all of it is added to git
    git(project, "init", "--quiet")
    git(project, "add", "-A")
    staged = git(project, "ls-files").splitlines()
    # Then neither the key nor what belongs into volumes is staged
    assert ".env.example" in staged
    assert ".env" not in staged
    assert not [name for name in staged if name.startswith(("models/w", "data/s", "static/tts/a"))]
    assert secret not in git(project, "grep", "--cached", "-h", "-e", "")


def test_make_writes_a_new_one_where_it_is_missing(render: Render, tmp_path: Path) -> None:
    # Given a fresh clone: no .env, no environment, and no Python either
    project = tmp_path / "clone"
    shutil.copytree(render({"project_slug": "one"}), project)
    (project / ".env").unlink()
    # When it is made
    subprocess.run(["make", ".env", "PYTHON="], cwd=project, check=True, capture_output=True)
    # Then it has a long random key, for its owner alone
    assert len(keys(project)["API_KEYS"].removeprefix("default:")) == 64
    assert stat.S_IMODE((project / ".env").stat().st_mode) == 0o600
