"""A project of guideline 2025.11, with its team's work in it, is brought to the present one."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.update import team
from tests.update.conftest import ANSWERS, GPU, Generated, Start
from tests.update.older import OLD_GUIDELINE, OLD_VERSION, PROJECT, Template
from tests.update.place import Place
from tests.update.project import Done, Project, differences, tree

NEW_GUIDELINE = "2025.11.27"
RECORD = ".cruft.json"
CONFLICT = re.compile(r"<<<<<<< .*?\n(.*?)=======\r?\n(.*?)>>>>>>> .*?\n", re.DOTALL)
# What git marks, by path: the team's lines, and the template's.
EXPECTED_CONFLICTS = {
    "Dockerfile": (
        "    && apt-get install -y --no-install-recommends libgomp1=1* sox=14.* \\\n",
        "    && apt-get install -y --no-install-recommends ffmpeg=7:* \\\n",
    ),
    ".github/workflows/ci.yml": ("Free the disk", "Install system packages (audio, AI)"),
    "Makefile": (".PHONY: docs help install run", ".PHONY: help install system run"),
    "AGENTS.md": ("# House rules\n\nBe kind.\n", "# Rules for coding agents"),
}


# Files with what the team has written in them, and the template.
BOTH = [
    ("app/utils/text.py", '.strip("~")', ""),
    ("app/utils/masking.py", "def mask_all(", ""),
    (team.NEW_FILE, "# 안내\n", ""),
    ("deploy/stack.py", "\n\ndef pinned(", '"static/": "/srv/static/tts"}'),
    ("Dockerfile", "build-essential=12.* git=1:*", "ffmpeg=7:*"),
    ("Dockerfile", "git=1:*", "nvidia/cuda:12"),
    (".github/workflows/ci.yml", "Show what is installed", "Install system packages"),
    ("README.md", "## Our servers\n\nThey hum.\n", f"version\n{NEW_GUIDELINE}"),
    ("docker-compose.yaml", "services:", "- data:/srv/data\n"),
    ("settings.toml", 'stt_model = "medium"', ""),
    ("pyproject.toml", '"orjson>=3.11"', ""),
    ("Makefile", "docs: ## Build", "system: ## Install"),
    (".gitignore", "*.sqlite3\n", ""),
    ("deploy/stack.yaml", "\r\n", "parallelism: 1\r\n"),
    (".dockerignore", "", "static/tts/\n"),
    ("deploy/revert.sh", "", "rollback"),
    ("AGENTS.md", "", "# Rules for coding agents"),
]


@dataclass(frozen=True)
class Updated:
    """A project after its update."""

    project: Project
    done: Done
    """What the tool has said."""
    main: str
    """The team's last commit."""


def updated(
    generated: Generated, template: Template, folder: Path, edits: tuple[team.Edit, ...]
) -> Updated:
    """Make a project at the old tag, do the team's work there, and update it."""
    project = generated(GPU, template.old_tag).copy(folder / "talker")
    team.work(project.root, edits)
    project.adopt("feat: our work")
    return Updated(project, project.tool("update"), project.git("rev-parse", "main"))


@pytest.fixture(scope="module")
def merged(
    generated: Generated, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Updated:
    """Return a project whose team has nowhere changed what the template has."""
    return updated(generated, template, tmp_path_factory.mktemp("merged"), team.EDITS)


@pytest.fixture(scope="module")
def conflicting(
    generated: Generated, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Updated:
    """Return a project whose team has changed the same lines in four files."""
    edits = team.EDITS + team.CONFLICTS
    return updated(generated, template, tmp_path_factory.mktemp("conflicting"), edits)


@pytest.fixture(scope="module")
def by_hand(
    generated: Generated, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the new template's project, in which the same work was done from the start."""
    folder = tmp_path_factory.mktemp("by-hand") / "talker"
    shutil.copytree(generated(GPU, template.new_tag).root, folder)
    team.work(folder, team.EDITS)
    return folder


def test_update_is_one_commit_on_a_branch_of_its_own(merged: Updated, template: Template) -> None:
    # Given a project that was updated, with nothing in conflict
    project = merged.project
    # When its repository is looked at
    # Then the update said so, and is one commit on top of the team's
    assert merged.done.returncode == 0, merged.done.stderr
    branch = f"feature/template-{template.new_version}"
    last = f"Merged without conflicts, on the branch {branch}."
    assert merged.done.stdout.splitlines()[-1] == last
    assert project.git("symbolic-ref", "--short", "HEAD") == branch
    assert project.git("rev-list", "main..HEAD") == project.git("rev-parse", "HEAD")
    assert project.git("rev-parse", "HEAD^") == merged.main
    # And the work tree is clean, without the leavings of patches
    assert not project.git("status", "--porcelain")
    assert not [*project.root.rglob("*.rej"), *project.root.rglob("*.orig")]


def test_update_equals_work_done_by_hand(merged: Updated, by_hand: Path) -> None:
    # Given the project of the new template, with the same work in it
    # When every file is compared, its mode included
    # Then none differs; the record is looked at below
    assert not differences(tree(merged.project.root, RECORD), tree(by_hand, RECORD))


@pytest.mark.parametrize(("name", "ours", "theirs"), BOTH, ids=[row[0] for row in BOTH])
def test_both_changes_are_there(name: str, ours: str, theirs: str, merged: Updated) -> None:
    # Given a file that the team, the template, or both have changed
    # When it is read after the update
    text = merged.project.read(name)
    # Then it has what each of them wrote
    assert ours in text
    assert theirs in text


def test_a_moved_function_stays_where_it_is(merged: Updated) -> None:
    # Given a function that the team has moved, in a file that the template has changed
    text = merged.project.read("deploy/stack.py")
    # When the file is read, Then the function is there once, at the end
    assert text.count("def pinned(") == 1
    assert text.index("def pinned(") > text.index("def deploy(")


def test_a_deleted_file_stays_deleted(merged: Updated) -> None:
    # Given two files that the team has deleted, one of which the template has changed
    root = merged.project.root
    # When they are looked for, Then they are gone, and the changed one is told
    assert not (root / "tests/unit/utils/test_subtitles.py").exists()
    assert not (root / "tests/unit/deploy/test_stack.py").exists()
    assert "tests/unit/deploy/test_stack.py" in merged.done.stdout
    assert "test_subtitles.py" not in merged.done.stdout


def test_a_renamed_file_is_followed(merged: Updated) -> None:
    # Given a file that the team has renamed, When its old name is looked for, Then it is gone
    assert not (merged.project.root / "compose.yaml").exists()


def test_bytes_and_modes_are_kept(merged: Updated) -> None:
    # Given a binary file, a mode and line ends of the team, and a mode of the template
    root = merged.project.root
    # When they are looked at
    # Then each is as its author left it
    assert (root / "tests/data/speech.wav").read_bytes().endswith(b"\x00\xff\r\n\x00")
    assert (root / "main.py").stat().st_mode & 0o111
    assert (root / "deploy/revert.sh").stat().st_mode & 0o111
    stack = (root / "deploy/stack.yaml").read_bytes()
    assert stack.count(b"\n") == stack.count(b"\r\n")


def test_record_names_the_new_state(merged: Updated, template: Template) -> None:
    # Given a project that was updated
    record = json.loads(merged.project.read(RECORD))
    # When its record is read
    context = record["context"]["cookiecutter"]
    # Then it names the new commit and versions, and the same answers
    assert record["commit"] == template.new
    assert record["template"] == context["_template"] == template.path.as_uri()
    assert context["_template_version"] == template.new_version
    assert context["_guideline_version"] == NEW_GUIDELINE
    assert {name: context[name] for name in GPU} == GPU


def test_updated_project_is_up_to_date(merged: Updated) -> None:
    # Given a project that was updated
    before = merged.project.state()
    # When it is checked, and updated again
    done = [merged.project.tool(command) for command in ("check", "update")]
    # Then there is nothing to do, and nothing is done
    assert [one.returncode for one in done] == [0, 0]
    assert all("Up to date" in one.stdout for one in done)
    assert merged.project.state() == before


def test_conflicts_are_where_both_changed_the_same_lines(conflicting: Updated) -> None:
    # Given a project whose team has changed lines that the template has changed too
    project, done = conflicting.project, conflicting.done
    # When it was updated
    # Then git has those files unmerged, and the tool names them last
    unmerged = project.git("diff", "--name-only", "--diff-filter=U").splitlines()
    assert done.returncode == 1, done.stderr
    assert set(unmerged) == EXPECTED_CONFLICTS.keys()
    told = [line for line in done.stdout.splitlines() if line.startswith("CONFLICT ")]
    assert told == [f"CONFLICT {path}" for path in sorted(EXPECTED_CONFLICTS)]
    assert "git cherry-pick --continue" in done.stdout.splitlines()[-1]
    # And each is marked at one place, with both sides
    for path, (ours, theirs) in EXPECTED_CONFLICTS.items():
        marked = CONFLICT.findall(project.read(path))
        assert len(marked) == 1, path
        assert ours in marked[0][0], path
        assert theirs in marked[0][1], path
    assert CONFLICT.findall(project.read("Dockerfile")) == [EXPECTED_CONFLICTS["Dockerfile"]]


def test_what_does_not_conflict_is_merged(conflicting: Updated, by_hand: Path) -> None:
    # Given a project with conflicts in four files
    merged = tree(conflicting.project.root, RECORD, *EXPECTED_CONFLICTS)
    # When the others are compared with the work done by hand, Then none differs
    assert not differences(merged, tree(by_hand, RECORD, *EXPECTED_CONFLICTS))
    # And no file is left by a patch that did not apply
    root = conflicting.project.root
    assert not [*root.rglob("*.rej"), *root.rglob("*.orig")]


def test_update_waits_for_conflicts(conflicting: Updated) -> None:
    # Given conflicts that nobody has resolved
    before = tree(conflicting.project.root)
    # When the update is run again
    done = conflicting.project.tool("update")
    # Then it says how to go on and how to go back, and changes nothing
    assert done.returncode == 2
    assert "git cherry-pick --continue" in done.stderr
    assert "git cherry-pick --abort" in done.stderr
    assert tree(conflicting.project.root) == before


def test_conflicts_are_resolved_by_git(
    conflicting: Updated, template: Template, tmp_path: Path
) -> None:
    # Given conflicts
    project = conflicting.project.copy(tmp_path / "talker")
    # When a person takes the template's side everywhere, and lets git go on
    project.git("checkout", "--theirs", ".")
    project.git("add", "--all")
    project.git("-c", "core.editor=true", "cherry-pick", "--continue")
    # Then the update is one commit, and the project is up to date
    assert not project.git("status", "--porcelain")
    assert project.git("rev-parse", "HEAD^") == conflicting.main
    assert json.loads(project.read(RECORD))["commit"] == template.new
    assert project.tool("check").returncode == 0


def test_update_is_taken_back_by_git(conflicting: Updated, tmp_path: Path) -> None:
    # Given conflicts
    project = conflicting.project.copy(tmp_path / "talker")
    # When a person gives up, and goes back to main
    project.git("cherry-pick", "--abort")
    # Then nothing of the update is left, and it can be run again
    assert not project.git("status", "--porcelain")
    assert not project.git("diff", "main", "HEAD")
    assert project.tool("update").returncode == 1
    assert project.git("rev-parse", "main") == conflicting.main


def test_conflicts_can_be_committed_with_their_marks(
    generated: Generated, template: Template, tmp_path: Path
) -> None:
    # Given a project with conflicts, and a workflow that has nobody to resolve them
    project = generated(GPU, template.old_tag).copy(tmp_path / "talker")
    team.work(project.root, team.CONFLICTS)
    project.adopt("feat: our work")
    # When it is updated
    done = project.tool("update", "--commit-conflicts")
    # Then the marks are committed, and the conflicts told
    assert done.returncode == 1, done.stderr
    assert not project.git("status", "--porcelain")
    assert project.git("rev-list", "--count", "main..HEAD") == "1"
    for path in EXPECTED_CONFLICTS:
        assert f"CONFLICT {path}" in done.stdout
        assert CONFLICT.search(project.git("show", f"HEAD:{path}") + "\n")


def test_untouched_project_becomes_the_new_one(
    start: Start, generated: Generated, template: Template
) -> None:
    # Given a project in which nobody has worked
    project = start()
    before = project.state()
    # When it is checked
    done = project.tool("check")
    # Then there is something newer: versions of template and guideline, and how many files
    fresh = generated(ANSWERS, template.new_tag)
    changed = differences(tree(project.root, RECORD), tree(fresh.root, RECORD))
    assert done.returncode == 1, done.stderr
    for version in (OLD_VERSION, template.new_version, OLD_GUIDELINE, NEW_GUIDELINE):
        assert re.search(rf"(?<![\d.]){re.escape(version)}(?!\.?\d)", done.stdout), version
    assert re.search(rf"\b{len(changed)} files would change", done.stdout)
    # And nothing was changed
    assert project.state() == before
    # When it is updated
    done = project.tool("update")
    # Then it is what the new template generates
    assert done.returncode == 0, done.stderr
    assert not differences(tree(project.root, RECORD), tree(fresh.root, RECORD))


@pytest.mark.parametrize("form", [(), ("--markdown",)], ids=["terminal", "markdown"])
def test_diff_shows_the_update_by_clause(form: tuple[str, ...], start: Start) -> None:
    # Given an old project with a change of its own
    project = start()
    team.add_a_section(project.root)
    project.adopt("docs: our servers")
    before = project.state()
    # When the difference is asked for
    done = project.tool("diff", *form)
    # Then files stand under the clauses that they fulfil, others under none
    assert done.returncode == 0, done.stderr
    head, _, rest = done.stdout.partition("diff --git a/Dockerfile b/Dockerfile")
    assert re.search(r"^[#=>]+ .*\bS4\.3\b.*$", head, re.MULTILINE)
    assert re.search(r"^[+] .*ffmpeg=7:", rest, re.MULTILINE)
    assert re.search(r"^[#=]+ No clause", done.stdout, re.MULTILINE)
    # And the team's own work is no part of it, and nothing was changed
    assert "+They hum." not in done.stdout
    assert project.state() == before


def test_template_that_deletes_renames_and_rebuilds(place: Place) -> None:
    # Given a release that deletes two files, renames one, and makes a binary file anew
    bare, template = place.published, place.template
    project = Project(place.generate(bare.as_uri(), ANSWERS, template.new_tag), place.environment)
    project.adopt()
    clone = place.clone("next")
    source = clone / PROJECT
    (source / "static/style.css").unlink()
    (source / "static/app.js").unlink()
    (source / "app/utils/masking.py").rename(source / "app/utils/mask.py")
    (source / "tests/data/speech.wav").write_bytes(b"RIFF\x00\x01")
    commit = place.release(clone, "v2026.1.1")
    # And a team that has changed three of them
    team.append(project.root, "static/app.js", "// ours\n")
    team.add_a_function(project.root)
    team.change_a_binary(project.root)
    project.adopt("feat: our work")
    # When the project is updated
    done = project.tool("update")
    # Then the team's change is in the renamed file, and what nobody has touched is gone
    assert done.returncode == 1, done.stderr
    assert "def mask_all(" in project.read("app/utils/mask.py")
    assert not (project.root / "app/utils/masking.py").exists()
    assert not (project.root / "static/style.css").exists()
    # And what cannot be merged is told and kept, as the team has it
    told = [line for line in done.stdout.splitlines() if line.startswith("CONFLICT ")]
    assert told == ["CONFLICT static/app.js", "CONFLICT tests/data/speech.wav"]
    assert project.read("static/app.js").endswith("// ours\n")
    assert (project.root / "tests/data/speech.wav").read_bytes().endswith(b"\xff\r\n\x00")
    assert json.loads(project.read(RECORD))["commit"] == commit


@pytest.mark.parametrize("rule", ["the person's", "the project's"])
def test_line_ends_that_git_writes(
    rule: str, start: Start, generated: Generated, template: Template
) -> None:
    # Given a project whose files have CRLF where git writes them, and LF in git
    project = start()
    if rule == "the project's":
        (project.root / ".gitattributes").write_text("*.yaml text eol=crlf\n", "utf-8")
        project.adopt("chore: line ends")
    else:
        project.git("config", "core.autocrlf", "true")
    for file in project.root.rglob("*.yaml"):
        file.unlink()
    project.git("checkout", "--", ".")
    assert b"\r\n" in (project.root / "deploy/stack.yaml").read_bytes()
    # When it is updated
    done = project.tool("update")
    # Then nothing conflicts, and git has the new template's files
    assert done.returncode == 0, done.stdout + done.stderr
    fresh = generated(ANSWERS, template.new_tag)
    for name in ("deploy/stack.yaml", "compose.yaml", "Dockerfile"):
        assert project.git("rev-parse", f"HEAD:{name}") == fresh.git("rev-parse", f"HEAD:{name}")
    assert b"\r\n" in (project.root / "deploy/stack.yaml").read_bytes()


def test_linked_work_tree_is_updated(start: Start, tmp_path: Path) -> None:
    # Given a second work tree of a project's repository
    project = start()
    project.git("worktree", "add", "--quiet", "-b", "feature/update", str(tmp_path / "second"))
    second = Project(tmp_path / "second", project.environment)
    before = tree(project.root)
    # When the update runs there
    done = second.tool("update")
    # Then it is done there, and the first one is as it was
    assert done.returncode == 0, done.stderr
    assert "ffmpeg" in second.read("Dockerfile")
    assert tree(project.root) == before
    assert project.git("symbolic-ref", "--short", "HEAD") == "main"


def failing_clauses(project: Project) -> set[str]:
    """Run a project's suite of the guideline; return the clauses with a test that fails."""
    report = project.root.parent / "guideline.xml"
    # tests/conftest.py needs the packages of the service, which this suite does without.
    alone = ("--confcutdir=tests/guideline", "-p", "no:cacheprovider", f"--junitxml={report}")
    done = project.run(sys.executable, "-m", "pytest", "tests/guideline", *alone, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    cases = ElementTree.parse(report).iter("testcase")
    failed = [str(case.get("name")) for case in cases if case.find("failure") is not None]
    assert all("[" in name for name in failed), failed
    return {name.rpartition("[")[2].rstrip("]") for name in failed}


def test_suite_is_red_before_and_green_after(
    merged: Updated, generated: Generated, template: Template, tmp_path: Path
) -> None:
    # Given the old project with today's suite of the guideline
    old = generated(GPU, template.old_tag).copy(tmp_path / "talker")
    team.work(old.root, team.EDITS)
    suite = generated(GPU, template.new_tag).root / "tests/guideline"
    shutil.copytree(suite, old.root / "tests/guideline")
    old.adopt("test: today's suite")
    clauses = tomllib.loads((suite / "clauses.toml").read_text("utf-8"))["clause"]
    new = {clause["id"] for clause in clauses if clause["since"] == NEW_GUIDELINE}
    # When it is run there, and in the updated project
    before, after = failing_clauses(old), failing_clauses(merged.project)
    # Then just the clauses that are new in the guideline fail before, and none after
    assert before == new
    assert not after
