"""Releases of the template: one version everywhere, and a way from each release to the next."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.update.conftest import ANSWERS
from tests.update.older import Template, copy_present
from tests.update.project import Project, differences, generate, tree
from tools.guideline import clauses

RECORD = ".cruft.json"
ENTRY = re.compile(r"^## \[(.+?)\]", re.MULTILINE)


def previous_release(repository: Path) -> str | None:
    """Return the newest release before the state that is checked out; None where none is known."""
    before = ("--merged=HEAD", "--no-contains=HEAD", "--sort=-version:refname")
    command = ["git", "tag", "--list", "v[0-9]*", *before]
    done = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True)
    return next(iter(done.stdout.split()), None)


@pytest.fixture
def history(template: Template) -> Path:
    """Return the template's own repository, if it has a release to come from; else the made one."""
    return ROOT if previous_release(ROOT) else template.path


def test_the_versions_agree() -> None:
    # Given the versions that cookiecutter is told
    answers = json.loads((ROOT / "cookiecutter.json").read_text("utf-8"))
    version, guideline = answers["_template_version"], answers["_guideline_version"]
    # When they are held against the other places that have one
    package = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    entries = ENTRY.findall((ROOT / "CHANGELOG.md").read_text("utf-8"))
    # Then there is one version of the template, the guideline's with a number
    assert version == package == entries[0]
    assert re.fullmatch(rf"{re.escape(guideline)}\.[1-9]\d*", version)
    # And the guideline's is that of its newest clauses
    since = {clause["since"] for clause in clauses()}
    assert guideline == max(since, key=lambda text: [int(part) for part in text.split(".")])


def test_previous_release_is_before_what_is_checked_out(template: Template) -> None:
    # Given a repository with a release, and another one that is checked out
    # When the previous release is looked for, Then it is not the one that is checked out
    assert previous_release(template.path) == template.old_tag


def test_update_from_the_previous_release(
    history: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    # Given the previous release, a project of it, and the template as it is now on top of it
    tag = previous_release(history)
    assert tag
    clone = tmp_path / "kodex-template.git"
    subprocess.run(["git", "clone", "--quiet", str(history), str(clone)], check=True)
    repository = Project(clone, environment)
    repository.git("checkout", "--quiet", "-B", "main", tag)
    old = Project(generate(clone.as_uri(), tmp_path / "old", environment, ANSWERS), environment)
    old.adopt()
    repository.git("rm", "--quiet", "-r", ".")
    copy_present(clone)
    repository.git("add", "--all", "--force")
    repository.git("commit", "--quiet", "--allow-empty", "--message=feat: the template as it is")
    now = repository.git("rev-parse", "HEAD")
    # When the project is updated
    done = old.tool("update", now)
    # Then it is what is generated now
    assert done.returncode == 0, done.stdout + done.stderr
    fresh = generate(clone.as_uri(), tmp_path / "fresh", environment, ANSWERS, now)
    assert not differences(tree(old.root, RECORD), tree(fresh, RECORD))
