"""The documents of every variant: each command, path and setting that they name is there.

`tests/service/test_readme.py` carries out what the README tells of asking.
"""

from __future__ import annotations

import os
import posixpath
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.conftest import Answers, Render, name_of, product_of

VARIANTS = product_of("device", "stt_engine", "llm_engine", "tts_engine", "docs_language")
each_variant = pytest.mark.parametrize("answers", VARIANTS, ids=name_of)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
MODULE = re.compile(r"python3? -m ((?:deploy|tools)[\w.]*)((?: [a-z][a-z-]*)?)")
PATH = re.compile(r"\.?[\w*-][\w.*-]*(/[\w.*-]*)*")
SUFFIXES = (".cfg", ".env", ".json", ".md", ".py", ".sh", ".toml", ".txt", ".wav", ".yaml", ".yml")
SETTING = re.compile(r"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=.*)?")
TREE = re.compile(r"^[├└]── ([\w.]+)", re.MULTILINE)
# Files that somebody may make.
EXAMPLES = {
    ".venv", "app/ai/stt/my_engine.py", "models/whisper-base.pt", "stack.nfs.yaml", "stack.*.yaml",
}  # fmt: skip
# Names of a kind of value, in the words of a rule.
PLACEHOLDERS = {"ENV_VAR"}

Holds = Callable[..., None]


def documents(project: Path) -> list[Path]:
    """Return a project's documents."""
    return sorted(file for file in project.rglob("*.md") if ".venv" not in file.parts)


def words(text: str) -> set[str]:
    """Return what a document sets as code within its sentences and tables."""
    return set(re.findall(r"`([^`\n]+)`", BLOCK.sub("", text)))


def commands(text: str) -> Iterator[str]:
    """Yield the commands of a document, its examples' lines put together."""
    yield from words(text)
    for language, block in BLOCK.findall(text):
        if language == "sh":
            yield from block.replace("\\\n", " ").splitlines()


@pytest.fixture(scope="module")
def holds() -> Holds:
    """Return a function that runs a command in a project, once for each of its Makefiles."""
    known: set[tuple[str, ...]] = set()

    def run(project: Path, *command: str) -> None:
        key = ((project / "Makefile").read_text("utf-8"), *command)
        if key not in known:
            variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
            done = subprocess.run(
                command, cwd=project, check=False, capture_output=True, text=True, env=variables
            )
            assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
            known.add(key)

    return run


@each_variant
def test_make_knows_every_target(answers: Answers, render: Render, holds: Holds) -> None:
    # Given the commands of every document
    project = render(answers)
    texts = [file.read_text("utf-8") for file in documents(project)]
    targets = {
        tuple(re.sub("=.*", "=x", part) for part in shlex.split(match[1], comments=True))
        for text in texts
        for command in commands(text)
        if (match := re.match(r"(?:\w+=\S+ )?make( .*|$)", command))
    }
    # When make is asked what it would do, Then it knows every target
    assert len(targets) > 10
    for target in targets:
        holds(project, "make", "--dry-run", *target)


@each_variant
def test_python_knows_every_command(answers: Answers, render: Render, holds: Holds) -> None:
    # Given the project's own commands in every document
    project = render(answers)
    texts = [file.read_text("utf-8") for file in documents(project)]
    found = {match.groups() for text in texts for match in MODULE.finditer(text)}
    # When each is asked for its help, Then there is one
    assert found >= {("deploy.release", f" {name}") for name in ("plan", "apply", "rollback")}
    for module, command in found:
        holds(project, sys.executable, "-m", module, *command.split(), "--help")


@each_variant
def test_every_path_is_there(answers: Answers, render: Render) -> None:
    # Given every path and every link of every document
    project = render(answers)
    files = [file.relative_to(project).as_posix() for file in project.rglob("*")]
    lost = []
    for document in documents(project):
        text = document.read_text("utf-8")
        named = {word for word in words(text) - EXAMPLES if is_path(word)}
        folder = document.parent.relative_to(project).as_posix().removeprefix(".")
        # When it is looked for from the project's folder and from the document's, or by its name
        for name in (word.rstrip("/") for word in {*named, *LINK.findall(text)}):
            beside = posixpath.normpath(f"{folder or '.'}/{name}")
            places = [name, beside, *([f"*/{name}"] if "/" not in name else [])]
            if not any(fnmatch(file, place) for file in files for place in places):
                lost.append(f"{document.name}: {name}")
    # Then it is there
    assert lost == []


def is_path(word: str) -> bool:
    """Whether what is set as code is a file or a folder of the project."""
    named = word.endswith((*SUFFIXES, "/")) or word.startswith(".")
    return named and PATH.fullmatch(word) is not None


@each_variant
def test_the_readme_shows_the_layout_as_it_is(answers: Answers, render: Render) -> None:
    # Given the tree in the README
    project = render(answers)
    named = set(TREE.findall((project / "README.md").read_text("utf-8")))
    # When it is held against the folder, Then it names all that is there, and nothing else
    there = {file.name for file in (project / "app").iterdir() if "__" not in file.name}
    small = {file.name for file in (project / "app").glob("server.py")}  # of no interest there
    assert named == there - small


@each_variant
def test_every_setting_is_known(answers: Answers, render: Render) -> None:
    # Given the settings that documents name
    project = render(answers)
    read = {
        name
        for document in documents(project)
        for word in words(document.read_text("utf-8"))
        if (match := SETTING.fullmatch(word)) and (name := match[1]) not in PLACEHOLDERS
    }
    # When they are looked for in what is no document: the code has them in lower case
    files = (file for file in project.rglob("*") if file.is_file() and file.suffix != ".md")
    text = "\n".join(file.read_text("utf-8", "ignore") for file in files)
    names = {name.upper() for name in re.findall(r"\b[A-Za-z]\w+\b", text)}
    own = {name for name in read if name.startswith("SERVICE_")}
    # Then each is there
    assert len(read) > 20
    assert {name.removeprefix("SERVICE_") for name in own} | (read - own) <= names


@each_variant
def test_examples_can_be_read(answers: Answers, render: Render) -> None:
    # Given every example, When its own language reads it, Then it is well written
    for document in documents(render(answers)):
        for language, block in BLOCK.findall(document.read_text("utf-8")):
            if language == "sh":
                done = subprocess.run(
                    ["bash", "-n"], input=block, check=False, capture_output=True, text=True
                )
                assert done.returncode == 0, f"{document.name}: {done.stderr}"
            elif language == "python":
                compile(block, str(document), "exec")
            else:
                assert language in {"", "yaml"}, document.name
