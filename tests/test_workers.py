"""Two workers: each half has one, and a test that measures time has the machine for itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

Note = tuple[str, str, int, float, float]
"""Half, process, niceness, begin and end in seconds."""
SUITE = """
import os
import time
from pathlib import Path

import pytest

NOTES = Path(os.environ["NOTES"])


def note(name):
    began = time.monotonic()
    time.sleep(0.3)
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    line = f"{name} {os.getpid()} {nice} {began} {time.monotonic()}\\n"
    with NOTES.open("a") as file:
        file.write(line)


@pytest.mark.parametrize("n", range(4))
def test_any(n):
    note("HALF")


@pytest.mark.alone
def test_alone():
    note("alone")


@pytest.mark.parametrize("n", range(4))
def test_more(n):
    note("HALF")
"""


@pytest.fixture
def notes(tmp_path: Path) -> list[Note]:
    """Return what each test of a suite noted."""
    files = {
        "pytest.ini": "[pytest]\ntestpaths = tests\nmarkers =\n    alone:\n",
        "tests/conftest.py": 'pytest_plugins = ["tests.workers"]\n',
        "tests/containers/test_a.py": SUITE.replace("HALF", "engine"),
        "tests/test_b.py": SUITE.replace("HALF", "rest"),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    noted = tmp_path / "notes"
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": "", "NOTES": str(noted)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2"]
    subprocess.run(command, cwd=tmp_path, check=True, env=variables, stdout=subprocess.DEVNULL)
    rows = [line.split() for line in noted.read_text("utf-8").splitlines()]
    return [(name, pid, int(nice), float(a), float(b)) for name, pid, nice, a, b in rows]


def test_each_half_has_a_worker_and_the_rest_gives_way(
    notes: list[Note],
) -> None:
    # Given a suite with tests of both halves, When two workers run it
    workers = {half: {row[1] for row in notes if row[0] == half} for half in ("engine", "rest")}
    # Then each half has one of its own, and that of the rest gives way
    assert [len(pids) for pids in workers.values()] == [1, 1]
    assert workers["engine"].isdisjoint(workers["rest"])
    assert {row[2] for row in notes if row[0] == "rest"} == {10}
    # And they run beside each other
    assert any(overlap(one, other) for one in notes for other in notes if one[1] != other[1])


def test_a_test_that_measures_time_runs_alone(
    notes: list[Note],
) -> None:
    # Given a test in each half that is to be alone, When two workers run them
    alone = [row for row in notes if row[0] == "alone"]
    # Then nothing runs beside either
    assert len(alone) == 2
    assert not [row for one in alone for row in notes if row is not one and overlap(one, row)]


def overlap(one: Note, other: Note) -> bool:
    """Whether two tests ran at the same time."""
    return one[3] < other[4] and other[3] < one[4]
