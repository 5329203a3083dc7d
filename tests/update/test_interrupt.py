"""An update that is killed, at whatever moment, leaves the team's work alone; it is repeated."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.update import team
from tests.update.conftest import ANSWERS, Generated
from tests.update.older import Template
from tests.update.project import Project, differences, tree

# A git that writes down each call, and kills the whole command before the one that it is told.
GIT = """\
#!/bin/sh
echo "$*" >> "$CALLS"
if [ "$(wc -l < "$CALLS")" = "${STOP_BEFORE:-never}" ]; then kill -9 0; fi
PATH=${PATH#*:}
exec git "$@"
"""
EDITS: tuple[team.Edit, ...] = (
    team.change_a_function,
    team.install_a_build_tool,
    team.rename_what_the_template_changes,
)
New = Callable[[str], Project]


@pytest.fixture(scope="module")
def new(generated: Generated, template: Template, tmp_path_factory: pytest.TempPathFactory) -> New:
    """Return a function that makes an old project, with work in it, and a git of its own."""
    folder = tmp_path_factory.mktemp("interrupt")
    programs = folder / "bin"
    programs.mkdir()
    (programs / "git").write_text(GIT, "utf-8")
    (programs / "git").chmod(0o755)

    project = generated(ANSWERS, template.old_tag).copy(folder / "talker")
    team.work(project.root, EDITS)
    project.adopt("feat: our work")

    def one(name: str) -> Project:
        environment = dict(project.environment)
        log = folder / f"{name}.calls"
        log.touch()
        environment |= {"PATH": f"{programs}:{environment['PATH']}", "CALLS": str(log)}
        return project.copy(folder / name, environment)

    return one


@dataclass(frozen=True)
class Undisturbed:
    """An update that nobody has interrupted."""

    project: Project
    calls: int
    """How often it called git."""


@pytest.fixture(scope="module")
def undisturbed(new: New) -> Undisturbed:
    """Return such an update."""
    project = new("undisturbed")
    done = project.tool("update")
    assert done.returncode == 0, done.stderr
    return Undisturbed(project, len(calls(project)))


def calls(project: Project) -> list[str]:
    """Return git's calls since the project was made."""
    return Path(project.environment["CALLS"]).read_text("utf-8").splitlines()


def killed(project: Project, **variables: str) -> None:
    """Run an update that is killed, with every process that it has started, and no other.

    Args:
        project: where it runs, in a session of its own.
        variables: say when; they are set for this one run.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "tools.template", "update"],
        cwd=project.root,
        env={**project.environment, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        assert process.wait(timeout=120) == -signal.SIGKILL


def assert_repeatable(project: Project, undisturbed: Project) -> None:
    """Run the update again, and compare what came of it with one that nobody interrupted."""
    main = undisturbed.git("rev-parse", "main")
    assert project.git("rev-parse", "main") == main
    done = project.tool("update")
    assert done.returncode == 0, done.stderr
    assert not differences(tree(project.root), tree(undisturbed.root))
    assert not project.git("status", "--porcelain")
    branch = project.git("symbolic-ref", "--short", "HEAD")
    assert branch == undisturbed.git("symbolic-ref", "--short", "HEAD")
    assert project.git("rev-parse", "main", "HEAD^").split() == [main, main]
    assert project.git("for-each-ref", "--format=%(refname:short)").split() == [branch, "main"]


@pytest.mark.parametrize("left", [30, 10, 5, 4, 3, 2, 1, 0])
def test_update_that_was_killed_is_repeated(left: int, new: New, undisturbed: Undisturbed) -> None:
    # Given an update that is killed when this many of its calls of git are left
    project = new(f"left-{left}")
    killed(project, STOP_BEFORE=str(undisturbed.calls - left))
    # When it is run again, Then it does its work
    assert_repeatable(project, undisturbed.project)


def test_update_that_was_killed_while_git_writes(new: New, undisturbed: Undisturbed) -> None:
    # Given an update that is killed when git has written some of the files, and not the others
    project = new("writing")
    attributes = project.root / ".git/info/attributes"
    attributes.parent.mkdir(exist_ok=True)
    attributes.write_text("deploy/stack.py filter=stop\n", "utf-8")
    project.git("config", "filter.stop.smudge", '[ -z "$STOP_WRITING" ] || kill -9 0')
    killed(project, STOP_WRITING="1")
    attributes.unlink()
    # When it is run again, Then it does its work
    assert_repeatable(project, undisturbed.project)


def test_update_that_was_interrupted_by_its_person(new: New, undisturbed: Undisturbed) -> None:
    # Given an update whose person presses Control-C
    project = new("control-c")
    # What a shell starts in the background has the signal ignored.
    heard = ("env", "--default-signal=INT")
    with subprocess.Popen(
        [*heard, sys.executable, "-m", "tools.template", "update"],
        cwd=project.root,
        env=project.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as process:
        while not any(call.startswith("clone ") for call in calls(project)):
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    # When it has ended, Then it said so without a stack trace, and left nothing behind
    assert process.returncode != 0
    assert "Interrupted" in said
    assert "Traceback" not in said
    # And the same command does its work
    assert_repeatable(project, undisturbed.project)
