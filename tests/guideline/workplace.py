"""Copies of a fresh project to edit, and what an edit has changed there."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import dockerfile
import yaml

from tests.guideline.mutants.edits import GIT, Edit

SCRIPTS = Path(sysconfig.get_path("scripts"))


class ComposeLoader(yaml.SafeLoader):
    """Reads compose files: those know the tags !reset and !override."""


for tag in ("!reset", "!override"):
    # What it holds does not matter here.
    ComposeLoader.add_constructor(tag, lambda _loader, node: node.tag)


def git(project: Path, *arguments: str) -> str:
    """Run git, without the rules of whoever runs the tests; return what it says."""
    command = [*GIT, "-c", "user.name=Team", "-c", "user.email=team@example.com", *arguments]
    done = subprocess.run(command, cwd=project, check=True, capture_output=True, text=True)
    return done.stdout


def commit_project(rendered: Path, place: Path) -> Path:
    """Copy a rendered project to a place and make it a repository with one commit."""
    shutil.copytree(rendered, place)
    git(place, "init", "--quiet", "--initial-branch=main", "--template=")
    # A copy shares its files: git need not read each anew because the number of links changes.
    git(place, "config", "core.trustctime", "false")
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--message=Begin")
    git(place, "gc", "--quiet")
    return place


def edit_copy(project: Path, place: Path, edit: Edit) -> list[str]:
    """Copy a project to a place, in another copy's stead, edit it and stage the change.

    The copy shares its files with the project, until an edit puts another in a file's place.

    Returns:
        The names of the files that the change touches.
    """
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(project, place, copy_function=os.link)
    edit(place)
    git(place, "add", "--all")
    return git(place, "diff", "--cached", "--name-only", "--no-renames", "HEAD").splitlines()


def problem_of(project: Path, name: str) -> str | None:
    """Return why the program that a file is for could not read it, or None."""
    file = project / name
    if not file.exists():
        return None
    text = file.read_text("utf-8")
    try:
        if file.suffix in {".yml", ".yaml"}:
            yaml.load(text, ComposeLoader)
        elif file.suffix in {".json", ".ipynb"}:
            json.loads(text)
        elif file.suffix == ".toml":
            tomllib.loads(text)
        elif file.suffix == ".py":
            ast.parse(text)
    except (ValueError, SyntaxError, yaml.YAMLError) as error:
        return f"{name}: {error}"
    if file.suffix == ".sh":
        return _said(project, "bash", "-n", name)
    if file.name == "Makefile":
        return _said(project, "make", "--dry-run", "help")
    if file.name.startswith("Dockerfile") and file.suffix != ".dockerignore":
        try:
            dockerfile.parse_string(text)
        except dockerfile.GoParseError as error:
            return f"{name}: {error}"
    if ".github/workflows" in name:
        return _said(project, str(SCRIPTS / "actionlint"), "-no-color", "-shellcheck=", name)
    return None


def _said(project: Path, *command: str) -> str | None:
    done = subprocess.run(command, cwd=project, check=False, capture_output=True, text=True)
    return (done.stdout + done.stderr) if done.returncode else None
