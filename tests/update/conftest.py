"""A template with a past, and projects that were made from it then."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import Answers
from tests.update.older import Template, build
from tests.update.place import Place
from tests.update.project import Project, generate

ANSWERS = {"project_slug": "talker", "docs_language": "en"}
GPU = ANSWERS | {"device": "gpu"}
GIT_CONFIG = """\
[user]
    name = Developer
    email = developer@example.com
[init]
    defaultBranch = main
"""

Generated = Callable[[Answers, str], Project]
"""``generated(answers, tag)``: a project that nobody changes."""
Start = Callable[..., Project]
"""``start()`` or ``start(answers, tag)``: a project's copy for a test alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.update)


@pytest.fixture(autouse=True)
def _tidy(tmp_path: Path) -> Iterator[None]:
    """Remove a test's repositories, each of which has hundreds of files."""
    yield
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Return variables for processes that have a home of their own."""
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(GIT_CONFIG, "utf-8")
    (home / "tmp").mkdir()
    return {
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(home / "tmp"),
    }


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, environment: Mapping[str, str]) -> Template:
    """Return the template's repository."""
    return build(tmp_path_factory.mktemp("template") / "kodex-template.git", environment)


@pytest.fixture(scope="session")
def generated(
    template: Template, environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Generated:
    """Return a function that makes a project from a tag, once; nobody changes it."""
    made: dict[tuple[str, str], Project] = {}

    def one(answers: Answers, tag: str) -> Project:
        key = (repr(sorted(answers.items())), tag)
        if key not in made:
            folder = tmp_path_factory.mktemp("generated") / "here"
            url = template.path.as_uri()
            made[key] = Project(generate(url, folder, environment, answers, tag), environment)
            made[key].adopt()
        return made[key]

    return one


@pytest.fixture
def start(generated: Generated, template: Template, tmp_path: Path) -> Start:
    """Return a function that gives a project to change, of the old tag unless another is named."""

    def one(answers: Answers | None = None, tag: str = "") -> Project:
        return generated(answers or ANSWERS, tag or template.old_tag).copy(tmp_path / "talker")

    return one


@pytest.fixture
def place(template: Template, environment: Mapping[str, str], tmp_path: Path) -> Place:
    """Return a folder with other repositories of the template, for a test alone."""
    return Place(tmp_path, template, environment)
