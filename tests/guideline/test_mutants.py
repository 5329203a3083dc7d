"""What the guideline suite of a project is worth: faults that it must name, and what is none.

Each mutant breaks one clause; its twin changes the same place and breaks none. The suite of each
runs for real, in a process of its own.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.conftest import Render
from tests.guideline.mutants import MUTANTS, Mutant
from tests.guideline.mutants.edits import (
    Edit,
    EditError,
    after,
    append,
    before,
    change_json,
    chmod,
    create,
    cut,
    edits,
    into,
    move,
    remove,
    rename,
    rewrite,
    swap,
    swap_all,
    with_crlf,
)
from tests.guideline.runner import Outcome, Runner
from tests.guideline.workplace import commit_project, edit_copy, problem_of
from tests.told import TOLD

DEVICES = ("cpu", "gpu")
FEWEST = 80
# As fixed with the guideline's version 2025.11.27: how many clauses each section has.
CLAUSES = {2: 3, 3: 4, 4: 9, 5: 5, 6: 4, 7: 3, 8: 3}

Projects = dict[str, Path]


@dataclass(frozen=True)
class Case:
    """A project to judge: a fresh one with an edit."""

    name: str
    device: str
    edit: Edit


@dataclass(frozen=True)
class Judged:
    """What the suite says of a case.

    Args:
        edited: names of the files that the edit has changed, added or removed.
        outcome: what came of the suite.
    """

    edited: list[str]
    outcome: Outcome


Outcomes = dict[str, Judged]


def mutant_case(mutant: Mutant) -> Case:
    """Return the case that the suite must be red for."""
    return Case(f"{mutant.clause}-{mutant.id}", mutant.device, mutant.edit)


def twin_case(mutant: Mutant) -> Case:
    """Return the case that the suite must be green for."""
    return Case(f"{mutant.clause}-{mutant.id}-twin", mutant.device, mutant.twin)


FRESH = [Case(f"fresh-{device}", device, edits()) for device in DEVICES]
CASES = [case for mutant in MUTANTS for case in (mutant_case(mutant), twin_case(mutant))]
each_fresh = pytest.mark.parametrize("case", FRESH, ids=lambda case: case.name)
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
each_mutant = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: mutant_case(m).name)
each_twin = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: twin_case(m).name)


@pytest.fixture(scope="module")
def projects(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Projects:
    """Return a fresh project of each device, as a repository."""
    folder = tmp_path_factory.mktemp("projects")
    return {
        device: commit_project(render({"device": device, "docs_language": "en"}), folder / device)
        for device in DEVICES
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where copies are edited, one after the other."""
    return tmp_path_factory.mktemp("edited") / "project"


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, projects: Projects, tmp_path_factory: pytest.TempPathFactory
) -> Outcomes:
    """Run the suite for each case that a selected test asks for; return what each says."""
    selected = {item.name.partition("[")[2].removesuffix("]") for item in request.session.items}
    every = any(
        item.name == "test_none_missed_and_no_false_alarm" for item in request.session.items
    )
    wanted = [case for case in (*FRESH, *CASES) if every or case.name in selected]
    runners = [Runner(tmp_path_factory.mktemp(f"run{n}")) for n in range(os.cpu_count() or 1)]
    free: SimpleQueue[Runner] = SimpleQueue()
    for runner in runners:
        free.put(runner)

    def judged(case: Case) -> Judged:
        runner = free.get()
        try:
            edited = edit_copy(projects[case.device], runner.place, case.edit)
            return Judged(edited, runner.run())
        finally:
            free.put(runner)

    with ThreadPoolExecutor(len(runners)) as pool:
        found = list(pool.map(judged, wanted))
    for runner in runners:
        runner.close()
    return dict(zip((case.name for case in wanted), found, strict=True))


@pytest.mark.parametrize(
    "edit",
    [
        swap("Makefile", "no such text", ""),
        swap("Makefile", "make", ""),
        swap_all("Makefile", "no such text", ""),
        cut("Makefile", "no such line"),
        into("Makefile", "lint:", "below a line that has nothing below it"),
        before("Makefile", "no such line", ""),
        after("Makefile", "no such line", ""),
        move("Makefile", "lint:", before_head="test:"),
        append("no such file", ""),
        rewrite("no such file", ""),
        remove("no such file"),
        rename("Makefile", "rules.json"),
        create("Makefile", ""),
        chmod("no such file", 0o644),
        edits(with_crlf("Makefile"), with_crlf("Makefile")),
        change_json("rules.json", lambda content: None),
    ],
)
def test_edit_that_finds_nothing_raises(edit: Edit, tmp_path: Path) -> None:
    # Given a project that an edit was not written for
    (tmp_path / "Makefile").write_text("# make lint, make test\nlint:\ntest:\n\ttrue\n")
    (tmp_path / "rules.json").write_text("{}")
    # When the edit is made
    # Then it says so, instead of changing nothing
    with pytest.raises(EditError):
        edit(tmp_path)


@each_case
def test_edit_leaves_files_that_can_be_read(case: Case, projects: Projects, place: Path) -> None:
    # Given a copy of a fresh project
    # When it is edited
    changed = edit_copy(projects[case.device], place, case.edit)
    # Then something has changed, and the programs that the files are for can still read them
    assert changed
    assert [problem for name in changed if (problem := problem_of(place, name))] == []


def test_every_clause_has_mutants() -> None:
    # Given every clause of the guideline
    clauses = {f"S{section}.{n + 1}" for section, most in CLAUSES.items() for n in range(most)}
    # When the mutants are counted
    count = Counter(mutant.clause for mutant in MUTANTS)
    # Then each clause has several, and no name stands for two
    assert {clause for clause in clauses if count[clause] < 2} == set()
    assert set(count) == clauses
    assert [name for name, n in Counter(case.name for case in CASES).items() if n > 1] == []


@each_fresh
def test_fresh_project_is_green(case: Case, outcomes: Outcomes) -> None:
    # Given a project that nobody has touched
    # When its suite has run
    outcome = outcomes[case.name].outcome
    # Then all clauses were looked at, and all are kept
    assert outcome.verdict, outcome.output
    assert outcome.ran >= sum(CLAUSES.values())
    assert outcome.failed == {}


@each_mutant
def test_mutant_is_caught(mutant: Mutant, outcomes: Outcomes) -> None:
    # Given a project in which one clause is broken
    # When its suite has run
    judged = outcomes[mutant_case(mutant).name]
    outcome = judged.outcome
    # Then the suite names this clause, and no other than follows from the same fault
    assert outcome.verdict, outcome.output
    assert mutant.clause in outcome.failed, f"Not caught: {mutant.what}."
    assert outcome.failed.keys() <= {mutant.clause, *mutant.also}, outcome.failed
    # And it leads to the fault: to files that were edited, or to where that must be seen
    found = outcome.files(mutant.clause)
    assert found, outcome.failed
    assert found <= {*judged.edited, *mutant.seen_in}, outcome.failed


@each_twin
def test_twin_is_green(mutant: Mutant, outcomes: Outcomes) -> None:
    # Given a project that was changed at the same place, and in which no clause is broken
    # When its suite has run
    outcome = outcomes[twin_case(mutant).name].outcome
    # Then the suite says nothing
    assert outcome.verdict, outcome.output
    assert outcome.failed == {}, f"A false alarm: {mutant.twin_what}."


def test_none_missed_and_no_false_alarm(
    outcomes: Outcomes, record_property: Callable[[str, object], None]
) -> None:
    # Given what the suite says of every mutant and every twin
    missed = [
        name
        for mutant in MUTANTS
        if mutant.clause not in outcomes[name := mutant_case(mutant).name].outcome.failed
    ]
    alarms = [name for mutant in MUTANTS if outcomes[name := twin_case(mutant).name].outcome.failed]
    # When they are counted
    record_property(
        TOLD,
        f"guideline: caught {len(MUTANTS) - len(missed)} of {len(MUTANTS)} mutants, "
        f"missed: {', '.join(missed) or 'none'}; "
        f"false alarms for {len(alarms)} of {len(MUTANTS)} twins: {', '.join(alarms) or 'none'}",
    )
    # Then none was missed, none is a false alarm, and they are many
    assert missed == []
    assert alarms == []
    assert len(MUTANTS) >= FEWEST
