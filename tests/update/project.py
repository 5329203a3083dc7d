"""A generated project, as its team has it: files, git, and the tool that updates it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Not the template's business: random keys, and git's own.
OWN = {".env", ".git"}
Tree = dict[str, tuple[int, bytes]]
Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Project:
    """A project in a repository of its own."""

    root: Path
    environment: Mapping[str, str]
    """Variables of every process."""

    def run(self, *command: str, check: bool = True) -> Done:
        """Run a command in the project's folder."""
        done = run(*command, folder=self.root, environment=self.environment)
        if check:
            assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
        return done

    def git(self, *arguments: str) -> str:
        """Return what git prints."""
        return self.run("git", *arguments).stdout.strip()

    def tool(self, *arguments: str) -> Done:
        """Run the project's tool for its template."""
        return self.run(sys.executable, "-m", "tools.template", *arguments, check=False)

    def adopt(self, message: str = "feat: the project as it is generated") -> None:
        """Make it a repository if it is none, and commit every file that is not ignored."""
        if not (self.root / ".git").exists():
            self.git("init", "--quiet", "--initial-branch=main")
        self.git("add", "--all")
        self.git("commit", "--quiet", f"--message={message}")

    def copy(self, root: Path, environment: Mapping[str, str] | None = None) -> Project:
        """Copy the project, its history included."""
        shutil.copytree(self.root, root, symlinks=True)
        copied = Project(root, environment or self.environment)
        copied.git("status")  # writes down the copies' times, which a later git compares
        return copied

    def read(self, name: str) -> str:
        """Return a file's text, its line ends as they are."""
        return (self.root / name).read_bytes().decode("utf-8")

    def state(self) -> tuple[str, str, str, Tree]:
        """Return what must not change when nothing is to be done."""
        branches = self.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads")
        index = self.git("status", "--porcelain", "--untracked-files=all")
        return self.git("symbolic-ref", "HEAD"), branches, index, tree(self.root)


def tree(root: Path, *without: str) -> Tree:
    """Return every file but those named and those of no template: executable or not, content."""
    left_out = OWN | set(without)
    found: Tree = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [one for one in folders if one not in {".git", "__pycache__"}]
        for name in files:
            path = Path(folder, name)
            relative = path.relative_to(root).as_posix()
            if relative not in left_out:
                found[relative] = (path.stat().st_mode & 0o100, path.read_bytes())
    return found


def differences(one: Tree, other: Tree) -> list[str]:
    """Return the paths where two trees differ."""
    return sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))


def run(*command: str, folder: Path, environment: Mapping[str, str]) -> Done:
    """Run a command; its output is text, whatever bytes it writes."""
    return subprocess.run(
        command,
        cwd=folder,
        check=False,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
        errors="surrogateescape",
        env=environment,
    )


def generate(
    source: str,
    folder: Path,
    environment: Mapping[str, str],
    answers: Mapping[str, str],
    checkout: str | None = None,
) -> Path:
    """Generate a project with cookiecutter, as a person does; return its folder."""
    options = ["--checkout", checkout] if checkout else []
    given = [f"{name}={value}" for name, value in answers.items()]
    command = (sys.executable, "-m", "cookiecutter", "--no-input", source, *options, *given)
    folder.mkdir(parents=True)
    done = run(*command, folder=folder, environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (project,) = folder.iterdir()
    return project
