"""The targets of make: what is given to them reaches the tool, and what it says comes through."""

from __future__ import annotations

import shlex
import sys

import pytest

from tests.update import team
from tests.update.conftest import Start
from tests.update.older import OLD_VERSION, Template
from tests.update.project import Done, Project
from tests.update.test_answers import answers_of
from tests.update.test_merge import EXPECTED_CONFLICTS
from tests.update.test_sources import rewrite


@pytest.fixture
def project(start: Start) -> Project:
    """Return an old project whose environment for updates is there, so that none is installed."""
    made = start()
    folder = made.root / ".cache/template"
    (folder / "bin").mkdir(parents=True)
    # No link: Python would look for its packages beside it.
    python = folder / "bin/python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', "utf-8")
    python.chmod(0o755)
    (folder / ".installed").touch()
    return made


def make(project: Project, target: str, **variables: str) -> Done:
    """Run a target of make, as a person does."""
    given = [f"{name}={value}" for name, value in variables.items()]
    return project.run("make", target, *given, check=False)


def test_check_ends_with_zero_where_nothing_is_newer(project: Project, template: Template) -> None:
    # Given an old project, When it is checked
    done = make(project, "template-check")
    # Then make fails, says what the tool's own status was, and ends with what the tool has said
    assert done.returncode == 2
    assert done.stderr.endswith(" template-check] Error 1\n")
    assert " files would change, " in done.stdout.splitlines()[-1]
    assert template.new_version in done.stdout
    # And against the state that it is of, it succeeds
    done = make(project, "template-check", REF=template.old_tag)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Up to date with template {OLD_VERSION} ")


def test_an_error_is_told_as_one(project: Project) -> None:
    # Given a ref that the template lacks, When make is given it, Then the tool's sentence is there
    done = make(project, "template-check", REF="v9999")
    assert done.returncode == 2
    sentence, status = done.stderr.splitlines()
    assert sentence.startswith("Error: v9999: ")
    assert status.endswith(" template-check] Error 2")


def test_all_that_is_given_reaches_the_tool(project: Project, template: Template) -> None:
    # Given a project whose record has neither the template's address nor a commit
    rewrite(project, template="/nowhere/kodex-template.git", commit=None)
    # When the difference to a state is asked for that is not the newest, with other answers
    done = make(
        project,
        "template-diff",
        REF=template.old_tag,
        FROM=template.old_tag,
        TEMPLATE=template.path.as_uri(),
        ANSWERS="device=gpu author='Kim & \"Co.\"'",
    )
    # Then each of them was heard
    assert done.returncode == 0, done.stderr
    assert f" -> {OLD_VERSION} " in done.stdout.splitlines()[0]
    assert "+++ b/compose.cuda.yaml" in done.stdout
    assert '+Copyright (c) Kim & "Co."' in done.stdout


def test_update_by_make(project: Project, template: Template) -> None:
    # Given an old project of the CPU, When make updates it to a release, with another device
    done = make(project, "template-update", REF=template.new_tag, ANSWERS="device=gpu")
    # Then it succeeds, and the last line names the branch
    assert done.returncode == 0, done.stderr
    branch = f"feature/template-{template.new_version}"
    last = f"Merged without conflicts, on the branch {branch}."
    assert done.stdout.splitlines()[-1] == last
    assert project.git("symbolic-ref", "--short", "HEAD") == branch
    # And the project is that release's, of the GPU
    assert "nvidia/cuda:12" in project.read("Dockerfile")
    assert answers_of(project)["device"] == "gpu"


def test_conflicts_come_through_make(project: Project) -> None:
    # Given a project whose team has changed the lines that the template has changed
    team.work(project.root, team.CONFLICTS)
    project.adopt("feat: our work")
    # When make updates it
    done = make(project, "template-update")
    # Then it fails, and the last lines name the files and what to do
    assert done.returncode == 2
    assert done.stderr.endswith(" template-update] Error 1\n")
    *_, told, advice = done.stdout.splitlines()
    named = [line for line in done.stdout.splitlines() if line.startswith("CONFLICT ")]
    assert named == [f"CONFLICT {path}" for path in sorted(EXPECTED_CONFLICTS)]
    assert told.startswith(f"{len(EXPECTED_CONFLICTS)} files have conflicts, ")
    assert "git cherry-pick --continue" in advice
