"""The executed table: each file of every variant has a test that runs it, or a reason."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, Render, name_of, product_of
from tests.executed import (
    INVENTORY,
    TABLE,
    VARIES,
    Excepted,
    Inventory,
    Ledger,
    Table,
    TableError,
    Variant,
    matches,
    read,
    take_stock,
)
from tests.generated import own_suite
from tests.generated.test_own_suite import ENGINE_CHOICES, run
from tools.environments import environment, runtime_files

RANDOM_KEY = re.compile(rb"[0-9a-f]{64}")
SUITES = [*ENGINE_CHOICES, {**ENGINE_CHOICES[1], "device": "gpu"}]

Suite = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def table() -> Table:
    """Return the table."""
    return read(ROOT / TABLE)


@pytest.fixture(scope="module")
def inventory(table: Table, render: Render) -> Inventory:
    """Return what the table says of every variant, each rendered for this alone."""
    contents: dict[str, dict[str, set[Variant]]] = defaultdict(lambda: defaultdict(set))
    for answers in product_of(*VARIES):
        project = render({**answers, "project_slug": "voice"})
        for file in (file for file in project.rglob("*") if file.is_file()):
            content = RANDOM_KEY.sub(b"", file.read_bytes()) if file.name == ".env" else None
            digest = hashlib.sha256(content or file.read_bytes()).hexdigest()
            path = file.relative_to(project).as_posix()
            contents[path][digest].add(tuple(answers.values()))
    frozen = {
        path: {content: frozenset(variants) for content, variants in different.items()}
        for path, different in contents.items()
    }
    return take_stock(table, frozen)


def test_every_file_of_every_variant_has_a_row(
    inventory: Inventory, table: Table, record_property: Callable[[str, object], None]
) -> None:
    # Given every file of all variants, When the table is held against them
    assert inventory.variants == 48
    record_property(INVENTORY, inventory.as_data(table))
    # Then each has a row or an exception, and each row and each exception has a file
    assert inventory.without == []
    assert inventory.needless == []


def test_every_row_names_tests_that_exist(table: Table) -> None:
    # Given the tests that rows name
    named = {test for row in table.rows for test in row.tests}
    files = sorted({test.partition("::")[0] for test in named})
    assert [file for file in files if not (ROOT / file).exists()] == []
    # When pytest collects them
    command = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider"]
    options = ["-m", "not slow", *files]
    done = subprocess.run(
        [*command, *options], cwd=ROOT, check=False, capture_output=True, text=True
    )
    found = {line for line in done.stdout.splitlines() if "::" in line}
    # Then each is there, and is no slow one
    functions = {name.partition("[")[0] for name in found}
    assert done.returncode == 0, done.stdout[-3000:]
    assert named - found - functions == set()


def test_every_exception_has_a_reason(table: Table) -> None:
    # Given the exceptions, When they are read, Then each has a sentence, and rows say how
    assert all(one.reason.endswith(".") for one in table.exceptions)
    assert all(row.how for row in table.rows)


@pytest.mark.service
@pytest.mark.parametrize("answers", SUITES, ids=name_of)
def test_own_suite_runs_every_module_that_rows_give_it(
    answers: dict[str, str], render: Render, table: Table
) -> None:
    # Given a project whose own suite has run, or runs now
    project = render(answers)
    files = runtime_files(project)
    if answers.get("device") == "gpu":  # torch is the CPU's here
        files = [*runtime_files(render(ENGINE_CHOICES[1]))[:1], project / "requirements.txt"]
    python = environment([*files, project / "requirements-dev.txt"])
    if not (project / own_suite.DATA).exists():
        run(own_suite.command(project, python), project)
    # When its coverage is read
    executed = own_suite.executed_files(project, python)
    # Then each Python file that rows leave to it was imported and run
    rows = [row for row in table.rows if row.coverage]
    paths = {file.relative_to(project).as_posix() for file in project.rglob("*.py")}
    left_to_it = {path for path in paths if any(matches(row.path, path) for row in rows)}
    named = {row.path for row in table.rows if not row.coverage}
    assert left_to_it - named - executed == set()


ROW = """
[projects]
gpu = { device = "gpu" }
every = { device = ["cpu", "gpu"] }
"""
CPU: Variant = ("cpu", "openai-whisper", "transformers", "supertonic", "ko")
GPU: Variant = ("gpu", *CPU[1:])
CONTENTS = {
    "Dockerfile": {"one": frozenset({CPU}), "two": frozenset({GPU})},
    "app/a.py": {"same": frozenset({CPU, GPU})},
}


def written(folder: Path, text: str) -> Table:
    """Return a table of this text."""
    file = folder / "executed.toml"
    file.write_text(ROW + text, "utf-8")
    return read(file)


def test_a_file_without_a_row_is_named(tmp_path: Path) -> None:
    # Given a table that has a row for one file of two, When stock is taken, Then it is named
    table = written(tmp_path, '[[file]]\npath = "app/a.py"\ntest = "t"\nhow = "x"\n')
    assert take_stock(table, CONTENTS).without == ["Dockerfile"]


def test_a_row_runs_the_contents_of_its_projects_alone(tmp_path: Path) -> None:
    # Given a row whose test builds the GPU's Dockerfile
    row = '[[file]]\npath = "Dockerfile"\nin = "{}"\ntest = "t"\nhow = "x"\n'
    # When stock is taken
    stock = take_stock(written(tmp_path, row.format("gpu")), CONTENTS)
    # Then the CPU's is left
    (files,) = stock.run_by.values()
    assert files == {("Dockerfile", "two")}
    assert stock.without == ["Dockerfile", "app/a.py"]
    # And in every project both are run
    (files,) = take_stock(written(tmp_path, row.format("every")), CONTENTS).run_by.values()
    assert files == {("Dockerfile", "one"), ("Dockerfile", "two")}


def test_an_exception_is_for_what_no_row_runs(tmp_path: Path) -> None:
    # Given an exception for a file of which one content is run, and one for a file that is run
    row = '[[file]]\npath = "{}"\nin = "gpu"\ntest = "t"\nhow = "x"\n'
    but = '[[exception]]\npath = "{}"\nreason = "x."\n'
    text = row + but + row + but
    table = written(tmp_path, text.format("Dockerfile", "Dockerfile", "app/a.py", "app/a.py"))
    # When stock is taken
    stock = take_stock(table, CONTENTS)
    # Then the first is for the other content, and the second is needless
    assert stock.excepted[Excepted("Dockerfile", "x.")] == {("Dockerfile", "one")}
    assert stock.needless == ["app/a.py"]
    assert stock.share(table.rows) == "2 of 3 files of 2 variants (66.7 %)"


def test_contents_that_are_alike_count_as_one(tmp_path: Path) -> None:
    # Given a row that says why contents that differ are alike, When stock is taken, Then it is one
    row = '[[file]]\npath = "Dockerfile"\nalike = "x."\ntest = "t"\nhow = "x"\n'
    table = written(tmp_path, row)
    assert take_stock(table, CONTENTS).share(table.rows) == "1 of 2 files of 2 variants (50.0 %)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('path = "Dockerfile"', "Dockerfile: 2 contents; in which projects is it run?"),
        ('path = "Dockerfile"\nin = "tpu"', "Dockerfile: there is no project tpu."),
        ('path = "app/*.py"', "app/*.py: name each file, or have coverage prove them."),
    ],
)
def test_a_table_that_claims_too_much_is_refused(text: str, message: str, tmp_path: Path) -> None:
    # Given a row that claims more than it says, When it is read, Then that is refused
    with pytest.raises(TableError, match=re.escape(message)):
        take_stock(written(tmp_path, f'[[file]]\n{text}\ntest = "t"\nhow = "x"\n'), CONTENTS)


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("app/*.py", "app/a.py", True),
        ("app/*.py", "app/b/a.py", False),
        ("app/**/*.py", "app/a.py", True),
        ("app/**/*.py", "app/b/c/a.py", True),
        ("app/**/*.py", "app/b/a.pyc", False),
        ("a.py", "axpy", False),
    ],
)
def test_patterns(pattern: str, path: str, fits: bool) -> None:
    # Given a pattern, When a path is held against it, Then it fits or not
    assert matches(pattern, path) is fits


def test_the_report_has_the_share_and_the_reasons(tmp_path: Path) -> None:
    # Given a row that ran, one that did not, and an exception
    row = '[[file]]\npath = "{}"\nin = "gpu"\ntest = "{}"\nhow = "x"\n'
    text = row.format("Dockerfile", "t.py::test_one") + row.format("app/a.py", "t.py::test_two")
    table = written(tmp_path, f'{text}[[exception]]\npath = "Dockerfile"\nreason = "Too big."\n')
    ledger = Ledger(table, whole=True)
    data = take_stock(table, CONTENTS).as_data(table)
    for phase in ("setup", "call", "teardown"):
        one = pytest.TestReport("t.py::test_one[x]", ("t.py", 1, ""), {}, "passed", None, phase)
        one.user_properties = [(INVENTORY, data)]
        ledger.pytest_runtest_logreport(one)
    # When it is told
    # Then files that ran are counted, and the others are named with the reason or the test
    assert list(ledger.report()) == [
        "executed: 1 of 3 files of 2 variants (33.3 %); excepted are 1:",
        "  Dockerfile (1): Too big.",
        "  NOT RUN app/a.py: t.py::test_two did not run and pass",
    ]


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """Return a function that runs a suite of two tests, of which one is in a table."""
    (tmp_path / "tests").mkdir()
    row = '[[file]]\npath = "a"\ntest = "tests/test_a.py::test_a"\nhow = "x"\n'
    files = {
        "pytest.ini": "[pytest]\ntestpaths = tests\nmarkers =\n    slow:\n    service:\n",
        "tests/conftest.py": 'pytest_plugins = ["tests.executed"]\n',
        "tests/executed.toml": row,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")

    def run_it(test: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the suite; `test` is the body of the test that the table names."""
        body = f"import pytest\n\n{test}\n\ndef test_b() -> None:\n    pass\n"
        (tmp_path / "tests/test_a.py").write_text(body, "utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
        return subprocess.run(
            command, cwd=tmp_path, check=False, capture_output=True, text=True, env=variables
        )

    return run_it


FOR_TWO = '@pytest.mark.parametrize("n", [1, 2])\ndef test_a(n: int) -> None:\n    '
PASSES = "def test_a() -> None:\n    pass"
MISSING = "NOT RUN a: tests/test_a.py::test_a did not run and pass"


def test_a_whole_run_in_which_every_row_ran_succeeds(suite: Suite) -> None:
    # Given a test that passes, for one parameter or for two
    for test in (PASSES, f"{FOR_TWO}pass"):
        # When everything is run
        done = suite(test, "-m", "not slow")
        # Then the session succeeds, and says so in one line
        assert done.returncode == 0, done.stdout
        assert "executed: 1 of 1 rows of tests/executed.toml were run" in done.stdout
        assert "NOT RUN" not in done.stdout


def test_two_workers_tell_one_ledger(suite: Suite) -> None:
    # Given a table and two workers, When everything is run, Then their tests are counted together
    done = suite(PASSES, "-m", "not slow", "-n", "2")
    assert done.returncode == 0, done.stdout
    assert "executed: 1 of 1 rows of tests/executed.toml were run" in done.stdout
    # And a test that does not run is named once
    done = suite("def test_c() -> None:\n    pass", "-m", "not slow", "-n", "2")
    assert done.returncode == 1
    assert done.stdout.count(MISSING) == 1


@pytest.mark.parametrize(
    "test",
    [
        "def test_c() -> None:\n    pass",
        f"@pytest.mark.slow\n{PASSES}",
        'def test_a() -> None:\n    pytest.skip("no engine")',
        f"{FOR_TWO}n == 1 or pytest.skip()",
    ],
    ids=["gone", "slow", "skipped", "skipped for one parameter"],
)
def test_a_row_whose_test_did_not_run_fails_a_whole_run(test: str, suite: Suite) -> None:
    # Given a test that does not run, When everything is run, Then the session fails and names it
    done = suite(test, "-m", "not slow")
    assert done.returncode == 1, done.stdout
    assert MISSING in done.stdout
    assert "executed: 0 of 1 rows" in done.stdout


def test_a_failing_test_is_named_too(suite: Suite) -> None:
    # Given a test that fails, When everything is run, Then its row did not run
    done = suite("def test_a() -> None:\n    assert False")
    assert done.returncode == 1
    assert MISSING in done.stdout


@pytest.mark.parametrize(
    "options",
    [
        ("-m", "not slow", "-k", "test_b"),
        ("-m", "not slow and not service"),
        ("-m", "not slow", "tests/test_a.py::test_b"),
        ("-m", "not slow", "--deselect=tests/test_a.py::test_a"),
        ("-m", "not slow", "--collect-only"),
    ],
    ids=["word", "marker", "path", "deselected", "collected"],
)
def test_a_part_of_the_suite_does_not_fail(options: tuple[str, ...], suite: Suite) -> None:
    # Given a part that was asked for, without the test that a row names
    done = suite(f"@pytest.mark.service\n{PASSES}", *options)
    # When it is run, Then it succeeds, and says how many rows were run
    assert done.returncode == 0, done.stdout
    assert "executed: 0 of 1 rows of tests/executed.toml were run" in done.stdout
    assert "NOT RUN" not in done.stdout
