"""An update can change the answers that a project was made with."""

from __future__ import annotations

import json

import pytest

from tests.update import team
from tests.update.conftest import ANSWERS, Generated, Start
from tests.update.older import Template
from tests.update.project import Project, differences, tree

RECORD = ".cruft.json"
# Places that no answer has a part in.
WORK: tuple[team.Edit, ...] = (
    team.change_a_function,
    team.add_a_file,
    team.move_a_function,
    team.extend_the_workflow,
    team.add_a_section,
    team.delete_a_file,
    team.add_a_dependency,
    team.add_a_make_target,
)


def answers_of(project: Project) -> dict[str, str]:
    """Return the answers that a project's record has."""
    context: dict[str, str] = json.loads(project.read(RECORD))["context"]["cookiecutter"]
    return {name: value for name, value in context.items() if not name.startswith("_")}


@pytest.mark.parametrize("state", ["old", "new"])
def test_cpu_becomes_gpu(
    state: str, start: Start, generated: Generated, template: Template
) -> None:
    # Given a CPU project with a team's work, of an older template or of the newest
    project = start(tag=template.old_tag if state == "old" else template.new_tag)
    before = answers_of(project)
    team.work(project.root, WORK)
    project.adopt("feat: our work")
    # When it is updated to a GPU
    done = project.tool("update", "--answers", "device=gpu")
    # Then it is the GPU's project with that work
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nvidia/cuda:12" in project.read("Dockerfile")
    by_hand = generated(ANSWERS | {"device": "gpu"}, template.new_tag)
    by_hand = by_hand.copy(project.root.with_name("by-hand"))
    team.work(by_hand.root, WORK)
    assert not differences(tree(project.root, RECORD), tree(by_hand.root, RECORD))
    # And its record has the new answer, for the next update
    assert answers_of(project) == before | {"device": "gpu"}
    assert project.tool("check").returncode == 0


def test_documents_change_their_language(
    start: Start, generated: Generated, template: Template
) -> None:
    # Given a project with English documents
    project = start(tag=template.new_tag)
    # When it is updated to Korean ones
    done = project.tool("update", "--answers", "docs_language=ko")
    # Then it is what the template generates in Korean
    assert done.returncode == 0, done.stdout + done.stderr
    korean = generated(ANSWERS | {"docs_language": "ko"}, template.new_tag)
    assert not differences(tree(project.root, RECORD), tree(korean.root, RECORD))
    assert answers_of(project)["docs_language"] == "ko"


def test_answers_are_read_as_a_shell_does(start: Start, template: Template) -> None:
    # Given new answers with spaces, quotes and marks of other languages
    project = start(tag=template.new_tag)
    author, text = "Kim & Co. = 김", "{{ x }} \"a\" $HOME 'b'"
    quoted = text.replace("'", "'\\''")
    # When the project is updated with them
    done = project.tool("update", "--answers", f"author='{author}'  description='{quoted}'")
    # Then they are taken as they are
    assert done.returncode == 0, done.stdout + done.stderr
    answers = answers_of(project)
    assert (answers["author"], answers["description"]) == (author, text)
    assert author in project.read("LICENSE")


def test_project_gets_another_name(start: Start, generated: Generated, template: Template) -> None:
    # Given a project
    project = start(tag=template.new_tag)
    # When its short name changes
    done = project.tool("update", "--answers", "project_slug=speaker")
    # Then its files have the new one, where they are
    assert done.returncode == 0, done.stdout + done.stderr
    renamed = generated(ANSWERS | {"project_slug": "speaker"}, template.new_tag)
    assert not differences(tree(project.root, RECORD), tree(renamed.root, RECORD))


def test_same_answers_change_nothing(start: Start, template: Template) -> None:
    # Given a project of the newest template
    project = start(tag=template.new_tag)
    before = project.state()
    # When it is updated with the answer that it has
    done = project.tool("update", "--answers", "device=cpu")
    # Then there is nothing to do
    assert done.returncode == 0, done.stderr
    assert "Up to date" in done.stdout
    assert project.state() == before


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ("device=tpu", "device: 'tpu' is not one of cpu, gpu, for example device=cpu."),
        ("devise=gpu", "devise"),
        ("device", "name=value"),
        ("=gpu", "name=value"),
        ("device='gpu", "quote"),
        ("registry=https://ghcr.io", "registry: 'https://ghcr.io' must be a registry host"),
    ],
)
def test_wrong_answers_are_refused(
    answers: str, sentence: str, start: Start, template: Template
) -> None:
    # Given a project
    project = start(tag=template.new_tag)
    before = project.state()
    # When the tool is given an answer that cannot be
    for command in ("diff", "update"):
        done = project.tool(command, "--answers", answers)
        # Then it says so in a sentence, the template's own where it has one
        assert done.returncode == 2, done.stdout
        (said,) = done.stderr.splitlines()
        assert said.startswith("Error: ")
        assert sentence in said
    # And nothing was changed
    assert project.state() == before
