"""The checks before a commit, by pre-commit itself, on commits that a person or an agent makes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Render

pytestmark = pytest.mark.service
KEY = "8f14e45fceea167a5a36dedd4bea2543"


class Checkout:
    """A project in git, whose Makefile finds an environment that is made already."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder = folder
        venv = folder.parent / "venv"
        venv.mkdir()
        (venv / "bin").symlink_to(python.parent)
        (venv / ".installed").touch()
        os.utime(venv / ".installed", (2**32, 2**32))
        self._variables = {
            **os.environ,
            "MAKEFLAGS": f" -- VENV={venv}",
            "PRE_COMMIT_HOME": str(folder.parent / "pre-commit"),
            "RUFF_NO_CACHE": "true",
            "GIT_CONFIG_GLOBAL": os.devnull,
        }

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self._variables,
            check=False,
            capture_output=True,
            text=True,
        )

    def commit(self) -> subprocess.CompletedProcess[str]:
        """Commit everything."""
        self.run("git", "add", "--all")
        author = ("-c", "user.name=Developer", "-c", "user.email=developer@example.com")
        return self.run("git", *author, "commit", "--quiet", "--message=feat: a change")


@pytest.fixture(scope="module")
def checkout(
    render: Render, every_engine: Path, tmp_path_factory: pytest.TempPathFactory
) -> Checkout:
    """Return a project with its first commit and its hooks, on a branch."""
    folder = tmp_path_factory.mktemp("hooks") / "project"
    shutil.copytree(render({}), folder)
    made = Checkout(folder, every_engine)
    made.run("git", "init", "--quiet", "--initial-branch=main")
    assert made.commit().returncode == 0
    installed = made.run("make", "hooks")
    assert installed.returncode == 0, installed.stderr
    made.run("git", "switch", "--quiet", "--create", "feature/change")
    return made


def test_good_change_is_committed(checkout: Checkout) -> None:
    # Given a change that breaks nothing
    with (checkout.folder / "app/utils/text.py").open("a", encoding="utf-8") as file:
        file.write("\n\nANSWER = 42\n")
    # When it is committed
    done = checkout.commit()
    # Then it is, by every check
    assert done.returncode == 0, done.stdout + done.stderr
    for check in ("hard-coded keys", "deployment guideline", "style and types"):
        assert check in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("path", "old", "new", "check", "said"),
    [
        ("Dockerfile", "WORKDIR /srv", f"ENV API_KEY={KEY}\nWORKDIR /srv", "keys", "Dockerfile"),
        ("Dockerfile", "USER 10001:10001", "USER root", "guideline", "S4.5"),
        ("app/utils/text.py", "import re", "import os\nimport re", "style", "F401"),
    ],
)
def test_bad_change_is_refused(
    checkout: Checkout, path: str, old: str, new: str, check: str, said: str
) -> None:
    # Given a change that breaks a rule
    file = checkout.folder / path
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new), "utf-8")
    # When it is committed
    done = checkout.commit()
    file.write_text(text, "utf-8")
    checkout.run("git", "add", "--all")
    # Then the check that is there for it refuses it, and says what is wrong
    assert done.returncode != 0
    failed = [line for line in (done.stdout + done.stderr).splitlines() if "Failed" in line]
    assert any(check in line for line in failed), done.stdout + done.stderr
    assert said in done.stdout + done.stderr


def test_commit_on_main_is_refused(checkout: Checkout) -> None:
    # Given somebody who works on main
    checkout.run("git", "switch", "--quiet", "main")
    (checkout.folder / "notes.md").write_text("# Notes\n", "utf-8")
    # When they commit
    done = checkout.commit()
    # Then they are told to take a branch
    assert done.returncode != 0
    assert "a branch of its own" in done.stdout + done.stderr
