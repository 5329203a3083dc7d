"""The clauses: a fixed list, each with its check, and a fresh project that keeps all of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Answers, Render, name_of, product_of
from tests.guideline.runner import Outcome, Runner
from tests.guideline.workplace import commit_project, git

SECTIONS = {2: 3, 3: 4, 4: 9, 5: 5, 6: 4, 7: 3, 8: 3}
IDS = [f"S{section}.{n}" for section, most in SECTIONS.items() for n in range(1, most + 1)]
BROUGHT_BY_2025_11_27 = {
    "S3.2", "S4.2", "S4.3", "S4.6", "S4.7", "S4.9", "S5.5", "S7.3", "S8.1", "S8.2", "S8.3",
}  # fmt: skip
SUITE = "tests/guideline"
ENGINES = product_of("device", "stt_engine", "llm_engine", "tts_engine")
# In both languages, with a registry that has a port.
ELSEWHERE = [
    {**answers, "registry": "registry.corp.example:5000/voice"}
    for answers in product_of("device", "docs_language")
]
each_variant = pytest.mark.parametrize(
    "answers", product_of("device", "docs_language"), ids=name_of
)


def suite(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the suite of a project, without what the rest of its tests need."""
    command = [sys.executable, "-m", "pytest", f"--confcutdir={SUITE}", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, *options, SUITE],
        cwd=project,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def clauses(project: Path) -> list[dict[str, Any]]:
    """Return the rows of a project's list of clauses."""
    text = (project / SUITE / "clauses.toml").read_text("utf-8")
    rows: list[dict[str, Any]] = tomllib.loads(text)["clause"]
    return rows


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Return what runs the suite of one project after the other."""
    made = Runner(tmp_path_factory.mktemp("run"))
    yield made
    made.close()


@pytest.fixture
def runner(server: Runner) -> Iterator[Runner]:
    """Return the same with nothing at its place."""
    yield server
    for folder in (server.place, server.place.parent / ".git"):
        shutil.rmtree(folder, ignore_errors=True)


def assert_clean(outcome: Outcome) -> None:
    """Hold that a suite has looked at every clause, and has found nothing."""
    assert outcome.verdict, outcome.output
    assert outcome.failed == {}
    assert outcome.ran >= len(IDS)


def test_the_list_is_the_fixed_one(render: Render) -> None:
    # Given the clauses of a project
    rows = clauses(render({}))
    # When their ids and versions are read, Then they are those that were agreed on
    assert [row["id"] for row in rows] == IDS
    assert {row["id"] for row in rows if row["since"] == "2025.11.27"} == BROUGHT_BY_2025_11_27
    assert {row["since"] for row in rows} == {"2025.11", "2025.11.27"}


def test_statements_are_one_line_in_both_languages(render: Render) -> None:
    # Given the clauses, When their statements are read, Then each is one line, in its language
    for row in clauses(render({})):
        assert "\n" not in row["ko"] + row["en"]
        assert re.search("[가-힣]", row["ko"])
        assert row["en"]
        assert not re.search("[가-힣]", row["en"])


@each_variant
def test_files_are_there(answers: Answers, render: Render) -> None:
    # Given a fresh project
    project = render(answers)
    # When the files are looked for that fulfil each clause, Then every pattern finds some
    missing = [
        (row["id"], pattern)
        for row in clauses(project)
        for pattern in row["files"]
        if not list(project.glob(pattern))
    ]
    assert missing == []


def test_every_clause_has_a_check_and_every_check_a_clause(render: Render) -> None:
    # Given a project's suite
    done = suite(render({}), "--collect-only")
    # When its tests are listed
    collected = [line for line in done.stdout.splitlines() if "::" in line]
    found = [re.search(r"\[([^\]]+)\]$", line) for line in collected]
    # Then each ends in a clause, and each clause is there
    assert done.returncode == 0, done.stdout
    assert all(found)
    assert {match[1] for match in found if match} == set(IDS)


def test_an_unknown_clause_stops_the_collection(render: Render, tmp_path: Path) -> None:
    # Given a suite with a check of a clause that does not exist
    project = Path(shutil.copytree(render({}), tmp_path / "project"))
    check = '@guards("S9.9")\ndef test_nothing(project):\n    yield from ()\n'
    text = f"from tests.guideline.clauses import guards\n\n\n{check}"
    (project / SUITE / "test_s9.py").write_text(text, "utf-8")
    # When it is collected
    done = suite(project, "--collect-only")
    # Then it says which one
    assert done.returncode != 0
    assert "S9.9 is no clause of clauses.toml" in done.stdout


@pytest.mark.parametrize("answers", ENGINES + ELSEWHERE, ids=name_of)
def test_fresh_project_keeps_all_clauses(answers: Answers, render: Render, runner: Runner) -> None:
    # Given a fresh project of any choice, in a repository of its own
    commit_project(render(answers), runner.place)
    # When its suite runs, Then nothing is found
    assert_clean(runner.run())


@each_variant
def test_fresh_project_keeps_them_wherever_it_lies(
    answers: Answers, render: Render, runner: Runner
) -> None:
    # Given a fresh project that is no repository
    shutil.copytree(render(answers), runner.place)
    # When its suite runs, Then nothing is found
    assert_clean(runner.run())
    # And within the repository of somebody else neither
    git(runner.place.parent, "init")
    assert_clean(runner.run())


def test_a_finding_names_place_problem_and_fix(render: Render, tmp_path: Path) -> None:
    # Given a project whose image has no ffmpeg
    project = Path(shutil.copytree(render({}), tmp_path / "project"))
    dockerfile = project / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text("utf-8").replace("ffmpeg", "sox"), "utf-8")
    # When its suite runs
    done = suite(project, "-k", "S4")
    # Then it says where, what and how, and shows no code of its own
    line = dockerfile.read_text("utf-8").splitlines().index("FROM ${BASE_IMAGE}") + 1
    assert f"  Dockerfile:{line}: the final stage installs no ffmpeg.\n      Fix: " in done.stdout
    assert "S4.3 (since 2025.11.27) " in done.stdout
    assert "Traceback" not in done.stdout
    assert "def test_" not in done.stdout


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        (".github/workflows/ci.yml", "name: CI\non: [push\njobs:\n", 3),
        ("compose.yaml", "services:\n  service: {\n", 3),
        ("deploy/stack.yaml", "services:\n\tservice:\n", 2),
        ("Dockerfile", "", 1),
        ("settings.toml", "device = \n", 1),
        (".github/rulesets/main.json", '{\n  "rules": [}\n', 2),
    ],
)
def test_a_broken_file_is_a_finding(
    file: str, text: str, line: int, render: Render, runner: Runner
) -> None:
    # Given a project with a file that cannot be read
    shutil.copytree(render({}), runner.place)
    (runner.place / file).write_text(text, "utf-8")
    # When its suite runs
    said = runner.run().output
    # Then the file and the line are named, and no check breaks
    assert f"  {file}:{line}: this " in said
    assert "Traceback" not in said
    assert "Error\n" not in said
