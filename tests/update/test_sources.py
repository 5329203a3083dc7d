"""Where a project comes from is recorded, whatever that was; an update finds its way back there."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.update import team
from tests.update.conftest import ANSWERS, Generated, Start
from tests.update.older import OLD_VERSION, Template
from tests.update.place import Place
from tests.update.project import Done, Project, differences, run, tree

RECORD = ".cruft.json"
COMMANDS = ("check", "diff", "update")
HOSTILE = ANSWERS | {
    "project_name": "음성 \"상담\" 'A' \\ 🎙️",
    "description": "{{ x }} {% raw %} \\n \\\\ ${HOME} `id` #1, 한국어 👩‍🚀 \"q\" 'q' = &*!|>%@",
    "author": '김철수 & "Co." <{{ cookiecutter.device }}>',
}
LAST_QUESTION = '"license": "MIT"'
HOME = "https://github.com/org/kodex-template.git"

Origin = Callable[[Place], tuple[Path, str]]
"""Generates a project; returns it, and the address that its record has to name."""


def from_the_default_branch(place: Place) -> tuple[Path, str]:
    """Generate before the new state is published."""
    bare, template = place.published, place.template
    place.git(bare, "update-ref", "refs/heads/main", template.old)
    place.git(bare, "tag", "--delete", template.new_tag)
    project = place.generate(bare.as_uri(), HOSTILE)
    place.git(template.path, "push", "--quiet", str(bare), "main", template.new_tag)
    return project, bare.as_uri()


def from_a_tag(place: Place) -> tuple[Path, str]:
    """Generate from a tag of a repository."""
    url = place.published.as_uri()
    return place.generate(url, HOSTILE, place.template.old_tag), url


def from_a_shorthand(place: Place) -> tuple[Path, str]:
    """Generate by the short form of an address."""
    return place.generate("gh:org/kodex-template", HOSTILE, place.template.old_tag), HOME


def from_a_clone(place: Place) -> tuple[Path, str]:
    """Generate from a folder that was cloned: others reach where it came from."""
    clone = place.clone("kodex-template")
    place.git(clone, "remote", "set-url", "origin", HOME)
    return _from_folder(place, clone), HOME


def from_a_folder(place: Place) -> tuple[Path, str]:
    """Generate from a repository that has no other."""
    folder = place.clone("kodex template 폴더")
    place.git(folder, "remote", "remove", "origin")
    return _from_folder(place, folder), str(folder)


def from_a_relative_path(place: Place) -> tuple[Path, str]:
    """Generate from a folder that is named from where the person is."""
    folder = place.clone("kodex-template")
    place.git(folder, "remote", "remove", "origin")
    return _from_folder(place, folder, "../kodex-template"), str(folder)


def _from_folder(place: Place, folder: Path, name: str = "") -> Path:
    """Generate from a folder at the old tag, under another name than its path if one is given."""
    place.git(folder, "checkout", "--quiet", place.template.old_tag)
    project = place.generate(name or str(folder), HOSTILE)
    place.git(folder, "checkout", "--quiet", "main")
    return project


def from_an_archive(place: Place) -> tuple[Path, str]:
    """Generate from a zip file, as it is offered for download."""
    file = place.folder / "kodex-template.zip"
    options = ("--format=zip", "--prefix=kodex-template-1/", f"--output={file}")
    place.git(place.template.path, "archive", *options, place.template.old_tag)
    return place.generate(str(file), HOSTILE), HOME


def from_an_unpacked_archive(place: Place) -> tuple[Path, str]:
    """Generate from the folder of an archive, which is no repository."""
    file = place.folder / "kodex-template.tar"
    place.git(place.template.path, "archive", f"--output={file}", place.template.old_tag)
    shutil.unpack_archive(file, place.folder / "unpacked")
    return place.generate(str(place.folder / "unpacked"), HOSTILE), HOME


def by_cruft(place: Place) -> tuple[Path, str]:
    """Generate with cruft, which writes its own record over the template's."""
    folder = place.folder / "here"
    folder.mkdir()
    options = ("--no-input", "--checkout", place.template.old_tag)
    answers = json.dumps(HOSTILE)
    command = ("create", place.published.as_uri(), *options, "--extra-context", answers)
    done = cruft(folder, place.environment, *command)
    assert done.returncode == 0, done.stderr
    return folder / HOSTILE["project_slug"], str(place.published)


def cruft(folder: Path, environment: Mapping[str, str], *arguments: str) -> Done:
    """Run cruft."""
    command = (sys.executable, "-m", "cruft", *arguments)
    return run(*command, folder=folder, environment=environment)


@pytest.mark.parametrize(
    "origin",
    [
        from_the_default_branch,
        from_a_tag,
        from_a_shorthand,
        from_a_clone,
        from_a_folder,
        from_a_relative_path,
        from_an_archive,
        from_an_unpacked_archive,
        by_cruft,
    ],
    ids=lambda origin: origin.__name__,
)
def test_update_from_every_source(origin: Origin, place: Place, generated: Generated) -> None:
    # Given a project with hostile answers, and a change of its own
    root, address = origin(place)
    template = place.template
    project = Project(root, place.environment)
    record = json.loads(project.read(RECORD))
    project.adopt()
    team.add_a_section(root)
    project.adopt("docs: our servers")
    # And its record has address, commit and answers
    assert (record["template"], record["commit"]) == (address, template.old)
    assert {name: record["context"]["cookiecutter"][name] for name in HOSTILE} == HOSTILE
    # When it is updated
    done = project.tool("update")
    # Then it is the new template's project, with that change
    assert done.returncode == 0, done.stderr
    fresh = generated(HOSTILE, template.new_tag).copy(place.folder / "fresh")
    team.add_a_section(fresh.root)
    assert not differences(tree(root, RECORD), tree(fresh.root, RECORD))
    # And the record has the new commit, the same address and the same answers
    record = json.loads(project.read(RECORD))
    assert (record["template"], record["commit"]) == (address, template.new)
    assert {name: record["context"]["cookiecutter"][name] for name in HOSTILE} == HOSTILE


@pytest.mark.parametrize("origin", [from_a_tag, by_cruft], ids=lambda origin: origin.__name__)
def test_cruft_reads_the_record(origin: Origin, place: Place) -> None:
    # Given an old project
    root, _ = origin(place)
    project = Project(root, place.environment)
    project.adopt()
    # When cruft checks it before and after an update
    before = cruft(root, place.environment, "check")
    done = project.tool("update")
    assert done.returncode == 0, done.stderr
    after = cruft(root, place.environment, "check")
    # Then it knows of the new state, and that it has come
    assert (before.returncode, after.returncode) == (1, 0)
    # And what it calls a difference is the team's work, without a secret
    team.add_a_section(root)
    difference = cruft(root, place.environment, "diff")
    assert difference.returncode == 0, difference.stderr
    assert set(changed_files(difference.stdout)) - {RECORD} == {"README.md"}
    assert "They hum." in difference.stdout


def changed_files(patch: str) -> list[str]:
    """Return the names of the files in a patch."""
    lines = [line for line in patch.splitlines() if line.startswith("diff --git ")]
    return [line.rpartition("upstream-template-new/")[2] for line in lines]


def test_newest_release_is_the_one_with_the_highest_number(place: Place) -> None:
    # Given releases 9 and 10, a later commit on main without one, and other tags
    bare, template = place.published, place.template
    project = Project(place.generate(bare.as_uri(), HOSTILE, template.old_tag), place.environment)
    project.adopt()
    place.git(bare, "tag", "--delete", template.new_tag)
    later = place.git(
        bare, "commit-tree", f"{template.new}^{{tree}}", "-p", template.new, "-m", "feat: later"
    )
    place.git(bare, "update-ref", "refs/heads/main", later)
    place.git(bare, "tag", "v2025.11.27.10", template.new)
    place.git(bare, "tag", "v2025.11.27.9", template.old)
    place.git(bare, "tag", "zzz", later)
    # When the project is updated
    done = project.tool("update")
    # Then it goes to release 10
    assert done.returncode == 0, done.stderr
    assert json.loads(project.read(RECORD))["commit"] == template.new


@pytest.mark.parametrize("ref", ["", "commit", "candidate"])
def test_update_goes_to_the_named_state(ref: str, place: Place) -> None:
    # Given a template without releases
    bare, template = place.published, place.template
    project = Project(place.generate(bare.as_uri(), HOSTILE, template.old_tag), place.environment)
    project.adopt()
    place.git(bare, "tag", "--delete", template.old_tag, template.new_tag)
    place.git(bare, "tag", "candidate", template.new)
    # When the project is updated to a commit, to any tag, or to the default branch
    named = template.new if ref == "commit" else ref
    done = project.tool("update", *filter(None, [named]))
    # Then it goes there
    assert done.returncode == 0, done.stderr
    assert json.loads(project.read(RECORD))["commit"] == template.new


def refused(project: Project, *arguments: str) -> str:
    """Run the tool, which refuses; return its sentence. Nothing may have changed."""
    repository = (project.root / ".git").exists()
    before = project.state() if repository else tree(project.root)
    done = project.tool(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("Error: ")
    assert "Traceback" not in done.stdout
    assert (project.state() if repository else tree(project.root)) == before
    return sentence


def rewrite(project: Project, **changes: Any) -> None:
    """Change values of the record, and commit it."""
    record = json.loads(project.read(RECORD)) | changes
    (project.root / RECORD).write_text(json.dumps(record), "utf-8")
    project.adopt("chore: another record")


@pytest.mark.parametrize("address", ["/nowhere/kodex-template.git", "http://127.0.0.1:9/t.git"])
def test_template_that_is_gone(address: str, start: Start) -> None:
    # Given a project whose template is not where it was
    project = start()
    rewrite(project, template=address)
    # When the tool is run, Then it names the address, and how to give another
    for command in COMMANDS:
        sentence = refused(project, command)
        assert address in sentence
        assert "TEMPLATE" in sentence or "--template" in sentence


def test_template_that_has_moved(start: Start, template: Template) -> None:
    # Given a project whose template is not where it was
    project = start()
    rewrite(project, template="/nowhere/kodex-template.git")
    # When its new address is given
    done = project.tool("update", "--template", template.path.as_uri())
    # Then the update works, and the record has that address
    assert done.returncode == 0, done.stderr
    assert json.loads(project.read(RECORD))["template"] == template.path.as_uri()


def test_history_that_was_rewritten(place: Place, generated: Generated) -> None:
    # Given a template whose commits are others by now, with the same tags
    bare, template = place.published, place.template
    project = Project(place.generate(bare.as_uri(), HOSTILE, template.old_tag), place.environment)
    project.adopt()
    shutil.rmtree(bare)
    place.git(place.folder, "init", "--quiet", "--bare", str(bare))
    clone = place.clone("rewritten")
    old = place.git(clone, "commit-tree", f"{template.old}^{{tree}}", "-m", "feat: rewritten")
    tip = place.git(clone, "commit-tree", f"{template.new}^{{tree}}", "-p", old, "-m", "feat: too")
    refs = (f"{old}:refs/tags/{template.old_tag}", f"{tip}:refs/tags/{template.new_tag}")
    place.git(clone, "push", "--quiet", str(bare), f"{tip}:refs/heads/main", *refs)
    # When the project is updated
    sentence = refused(project, "update")
    # Then the missing commit is named, and how to name another
    assert template.old in sentence
    assert "FROM" in sentence or "--from" in sentence
    # And with a tag of the same state, the update is what it would have been
    done = project.tool("update", "--from", template.old_tag)
    assert done.returncode == 0, done.stderr
    fresh = generated(HOSTILE, template.new_tag)
    assert not differences(tree(project.root, RECORD), tree(fresh.root, RECORD))
    assert json.loads(project.read(RECORD))["commit"] == tip


@pytest.mark.parametrize("state", ["uncommitted", "untracked", "no repository"])
def test_template_without_a_commit(state: str, place: Place) -> None:
    # Given a project of a template whose files are in no commit
    folder = place.clone("kodex-template")
    place.git(folder, "checkout", "--quiet", place.template.old_tag)
    if state == "uncommitted":
        team.append(folder, "{{cookiecutter.project_slug}}/ruff.toml", "# ours\n")
    elif state == "untracked":
        (folder / "templates/extra.txt").write_text("ours\n", "utf-8")
    else:
        shutil.rmtree(folder / ".git")
    project = Project(place.generate(str(folder), HOSTILE), place.environment)
    project.adopt()
    # When it is updated
    assert json.loads(project.read(RECORD))["commit"] is None
    sentence = refused(project, "update", "--template", place.published.as_uri())
    # Then the tool asks for a commit
    assert "FROM" in sentence or "--from" in sentence


def test_unknown_ref(start: Start) -> None:
    # Given a project
    project = start()
    # When the tool is given a ref that the template lacks, Then it is named
    for command in COMMANDS:
        assert "v9999" in refused(project, command, "v9999")


@pytest.mark.parametrize(
    "text",
    [None, "", "{", "[]", "null", '"text"', "{}", '{"template": 1, "commit": 2, "context": 3}'],
)
def test_record_that_is_missing_or_broken(text: str | None, start: Start) -> None:
    # Given a project without a record that can be read
    project = start()
    if text is None:
        (project.root / RECORD).unlink()
    else:
        (project.root / RECORD).write_text(text, "utf-8")
    project.adopt("chore: what have we done")
    # When the tool is run, Then it names the file
    for command in COMMANDS:
        assert RECORD in refused(project, command)


def test_work_that_is_not_committed(start: Start) -> None:
    # Given a file that was changed since the last commit
    project = start()
    team.change_a_function(project.root)
    # When the project is updated
    sentence = refused(project, "update")
    # Then it is told to commit, and the file is named
    assert "app/utils/text.py" in sentence
    assert "commit" in sentence
    # And staged, it is the same
    project.git("add", "--all")
    assert "app/utils/text.py" in refused(project, "update")


def test_file_that_is_in_the_way(start: Start) -> None:
    # Given a file that git does not have, and the template brings
    project = start()
    team.write_rules_for_agents(project.root)
    # When the project is updated, Then the file is named, and is as it was
    assert "AGENTS.md" in refused(project, "update")


def test_file_that_is_not_in_the_way(start: Start) -> None:
    # Given another file that git does not have
    project = start()
    team.add_a_file(project.root)
    # When the project is updated
    done = project.tool("update")
    # Then the file is as it was, and still not in git
    assert done.returncode == 0, done.stderr
    assert project.git("status", "--porcelain") == "?? notes/"


def test_folder_that_is_no_repository(start: Start) -> None:
    # Given a project without git
    project = start()
    shutil.rmtree(project.root / ".git")
    # When the tool is run, Then it says how to make it a repository
    for command in COMMANDS:
        assert "git init" in refused(project, command)


def test_branch_with_other_commits_is_kept(start: Start, template: Template) -> None:
    # Given a branch of the update's name, with work of the team
    project = start()
    project.git("switch", "--quiet", "--create", f"feature/template-{template.new_version}")
    team.add_a_section(project.root)
    project.adopt("docs: our servers")
    project.git("switch", "--quiet", "main")
    # When the project is updated, Then the branch is named, and is as it was
    assert f"feature/template-{template.new_version}" in refused(project, "update")


def test_answer_that_is_asked_no_more_is_told(place: Place) -> None:
    # Given a template that once asked for a colour
    bare, template = place.published, place.template
    clone = place.clone("colourful")
    place.git(clone, "checkout", "--quiet", template.old_tag)
    team.replace(
        clone, "cookiecutter.json", '  "license": "MIT"', '  "colour": "blue",\n  "license": "MIT"'
    )
    place.release(clone, "v2025.11.2")
    project = Project(place.generate(bare.as_uri(), HOSTILE, "v2025.11.2"), place.environment)
    project.adopt()
    # When the project is updated
    done = project.tool("update")
    # Then the answer is told, and the record has it no more
    assert done.returncode == 0, done.stderr
    assert "colour" in done.stdout
    assert "colour" not in json.loads(project.read(RECORD))["context"]["cookiecutter"]


def test_new_question_gets_its_default(place: Place) -> None:
    # Given a template whose newest release asks for a colour
    bare, template = place.published, place.template
    project = Project(place.generate(bare.as_uri(), HOSTILE, template.old_tag), place.environment)
    project.adopt()
    clone = place.clone("colourful")
    team.replace(
        clone, "cookiecutter.json", '  "license": "MIT"', '  "colour": "blue",\n  "license": "MIT"'
    )
    place.release(clone, "v2026.1.1")
    # When the project is updated
    done = project.tool("update")
    # Then the record has the default
    assert done.returncode == 0, done.stderr
    assert json.loads(project.read(RECORD))["context"]["cookiecutter"]["colour"] == "blue"


def test_paths_left_out_of_updates(start: Start, tmp_path: Path) -> None:
    # Given a project that leaves files out of updates, in cruft's words; one path is not its own
    project = start()
    outside = tmp_path / "precious.txt"
    outside.write_text("gold\n", "utf-8")
    rewrite(project, skip=["Makefile", "deploy/stack*.yaml", str(outside), "../precious.txt"])
    # When it is updated
    done = project.tool("update")
    # Then nothing outside of the project was touched
    assert outside.read_text("utf-8") == "gold\n"
    # And the named files are as they were, and others are new
    assert done.returncode == 0, done.stderr
    changed = project.git("diff", "--name-only", "main", "HEAD").splitlines()
    assert "Dockerfile" in changed
    assert not {"Makefile", "deploy/stack.yaml"} & set(changed)


def test_no_old_version_is_offered(start: Start, template: Template) -> None:
    # Given a project of the newest release
    project = start(tag=template.new_tag)
    # When it is checked, Then no older release counts as newer
    done = project.tool("check")
    assert done.returncode == 0, done.stdout
    assert OLD_VERSION not in done.stdout.split()
