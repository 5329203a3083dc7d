"""Holds `executed.toml` against what ran: each file of a rendered project has a test that runs it.

A pytest plugin. It notes which tests pass. When the whole suite was asked for, a row whose test did
not run and pass makes the session fail; otherwise the rows that ran are counted.

"A file" is a content: `requirements.txt` is as many files as there are different ones among the
variants. A row says with which answers its tests render their projects; the contents in those
projects are run, others are not.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kodex_answers import CHOICES

TABLE = Path("tests") / "executed.toml"
VARIES = ("device", "stt_engine", "llm_engine", "tts_engine", "docs_language")
"""The answers that make a variant."""
WHOLE_SUITE = ("", "not slow")
"""Marker expressions of a run that has to run every row."""
INVENTORY = "inventory"
"""The property in which a test tells the inventory."""
NARROWING = ("keyword", "deselect", "ignore", "ignore_glob", "lf", "collectonly")
"""Options that leave tests out."""

Variant = tuple[str, ...]
Contents = Mapping[str, Mapping[str, frozenset[Variant]]]
"""Path -> content -> the variants that have it."""
File = tuple[str, str]
"""Path and content."""


class TableError(Exception):
    """The table cannot be right; the text says why."""


@dataclass(frozen=True)
class Row:
    """Files, and the tests that run them."""

    path: str
    tests: tuple[str, ...]
    """Node ids; without a parameter, all of a function."""
    how: str
    projects: tuple[str, ...] = ()
    """Names of the projects that the tests render. Empty: the file is the same in all."""
    alike: str = ""
    """Why contents that differ count as one."""
    coverage: bool = False
    """Whether the tests' coverage proves each file."""


@dataclass(frozen=True)
class Excepted:
    """Files that no test runs, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Table:
    """The table."""

    rows: tuple[Row, ...]
    exceptions: tuple[Excepted, ...]
    projects: Mapping[str, frozenset[Variant]]


@dataclass(frozen=True)
class Inventory:
    """Which row runs which file."""

    variants: int
    files: frozenset[File]
    run_by: Mapping[Row, frozenset[File]]
    excepted: Mapping[Excepted, frozenset[File]]

    def as_data(self, table: Table) -> list[Any]:
        """Return it in what one process can tell another."""
        parts = [self.files, *(self.run_by[row] for row in table.rows)]
        parts += [self.excepted[one] for one in table.exceptions]
        return [self.variants, [sorted(files) for files in parts]]

    @classmethod
    def from_data(cls, data: list[Any], table: Table) -> Inventory:
        """Return what `as_data` has told."""
        variants, parts = data
        files, *others = (frozenset((path, content) for path, content in part) for part in parts)
        excepted = others[len(table.rows) :]
        return cls(
            variants,
            files,
            dict(zip(table.rows, others, strict=False)),
            dict(zip(table.exceptions, excepted, strict=True)),
        )

    @property
    def without(self) -> list[str]:
        """Paths of files that have neither row nor exception."""
        known = frozenset[File]().union(*self.run_by.values(), *self.excepted.values())
        return sorted({path for path, _ in self.files - known})

    @property
    def needless(self) -> list[str]:
        """Paths of rows and exceptions that no file needs."""
        rows = [row.path for row, files in self.run_by.items() if not files]
        return sorted(rows + [one.path for one, files in self.excepted.items() if not files])

    def share(self, rows: Iterable[Row]) -> str:
        """Say how many files some rows run."""
        done = len(frozenset[File]().union(*(self.run_by[row] for row in rows)))
        percent = 100 * done / len(self.files)
        return f"{done} of {len(self.files)} files of {self.variants} variants ({percent:.1f} %)"


def read(file: Path) -> Table:
    """Read a table.

    Raises:
        TableError: a row names a project that the table has not, or a pattern that nothing proves.
    """
    data = tomllib.loads(file.read_text("utf-8"))
    projects = {name: _variants(answers) for name, answers in data.get("projects", {}).items()}
    rows = tuple(_row(row) for row in data.get("file", ()))
    for row in rows:
        if unknown := set(row.projects) - projects.keys():
            raise TableError(f"{row.path}: there is no project {', '.join(sorted(unknown))}.")
        if "*" in row.path and not row.coverage:
            raise TableError(f"{row.path}: name each file, or have coverage prove them.")
    exceptions = tuple(Excepted(**one) for one in data.get("exception", ()))
    return Table(rows, exceptions, projects)


def _variants(answers: Mapping[str, str | list[str]]) -> frozenset[Variant]:
    taken = (_list(answers.get(name, CHOICES[name][0])) for name in VARIES)
    return frozenset(itertools.product(*taken))


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _row(row: dict[str, Any]) -> Row:
    tests, projects = tuple(_list(row.pop("test"))), tuple(_list(row.pop("in", [])))
    return Row(tests=tests, projects=projects, **row)


def matches(pattern: str, path: str) -> bool:
    """Whether a path fits; ``*`` stays within a folder, ``**/`` goes through any."""
    parts = re.split(r"(\*\*/|\*)", pattern)
    kinds = {"**/": "(?:[^/]+/)*", "*": "[^/]*"}
    expression = "".join(kinds.get(part, re.escape(part)) for part in parts)
    return re.fullmatch(expression, path) is not None


def take_stock(table: Table, contents: Contents) -> Inventory:
    """Find the files that each row runs.

    Raises:
        TableError: a row claims several contents of a file, and names no project.
    """
    alike = [row.path for row in table.rows if row.alike]
    contents = {
        path: _as_one(different) if path in alike else different
        for path, different in contents.items()
    }
    run_by = {row: frozenset(_files_of(row, table, contents)) for row in table.rows}
    done = frozenset[File]().union(*run_by.values())
    files = frozenset((path, one) for path, different in contents.items() for one in different)
    excepted = {
        one: frozenset(file for file in files - done if matches(one.path, file[0]))
        for one in table.exceptions
    }
    variants = {v for different in contents.values() for found in different.values() for v in found}
    return Inventory(len(variants), files, run_by, excepted)


def _as_one(different: Mapping[str, frozenset[Variant]]) -> dict[str, frozenset[Variant]]:
    return {"alike": frozenset[Variant]().union(*different.values())}


def _files_of(row: Row, table: Table, contents: Contents) -> Iterator[File]:
    projects = frozenset[Variant]().union(*(table.projects[name] for name in row.projects))
    for path, different in contents.items():
        if not matches(row.path, path):
            continue
        if not row.projects and len(different) > 1:
            raise TableError(f"{path}: {len(different)} contents; in which projects is it run?")
        for content, variants in different.items():
            if not row.projects or variants & projects:
                yield path, content


@dataclass(eq=False)  # pytest keeps its plugins in sets
class Ledger:
    """Notes which tests pass, and tells at the end which rows did not run."""

    table: Table
    whole: bool
    inventory: Inventory | None = None
    """Told by the test that renders every variant."""
    _passed: dict[str, bool] = field(default_factory=lambda: defaultdict(lambda: True))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test: it has passed when each of its phases has, and none was skipped."""
        self._passed[report.nodeid] &= report.passed
        for name, value in report.user_properties:
            if name == INVENTORY and isinstance(value, list):
                self.inventory = Inventory.from_data(value, self.table)

    def has_run(self, test: str) -> bool:
        """Whether a test, or a function with each of its parameters, ran and passed."""
        found = [
            ok for name, ok in self._passed.items() if name == test or name.startswith(f"{test}[")
        ]
        return bool(found) and all(found)

    @property
    def not_run(self) -> list[Row]:
        """The rows that have a test that did not run and pass."""
        return [row for row in self.table.rows if not all(map(self.has_run, row.tests))]

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Fail a whole run that did not run every row."""
        if self.whole and self.not_run and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the report."""
        for line in self.report():
            terminalreporter.write_line(line)

    def report(self) -> Iterator[str]:
        """Yield the lines of the report."""
        not_run = self.not_run
        rows = [row for row in self.table.rows if row not in not_run]
        if not self.whole or self.inventory is None:
            yield f"executed: {len(rows)} of {len(self.table.rows)} rows of {TABLE} were run"
        else:
            excepted = {one: files for one, files in self.inventory.excepted.items() if files}
            told = f"; excepted are {sum(map(len, excepted.values()))}:" if excepted else ""
            yield f"executed: {self.inventory.share(rows)}{told}"
            for one, files in excepted.items():
                yield f"  {one.path} ({len(files)}): {one.reason}"
        if self.whole:
            for row in not_run:
                missing = ", ".join(test for test in row.tests if not self.has_run(test))
                yield f"  NOT RUN {row.path}: {missing} did not run and pass"


def pytest_configure(config: pytest.Config) -> None:
    """Begin to take notes, where there is a table; a worker's are taken where it reports."""
    file = config.rootpath / TABLE
    if not file.exists() or hasattr(config, "workerinput"):
        return
    try:
        ledger = Ledger(read(file), is_whole(config))
    except (TableError, ValueError, TypeError, KeyError) as error:
        raise pytest.UsageError(f"{TABLE}: {error}") from error
    config.pluginmanager.register(ledger, "executed")


def is_whole(config: pytest.Config) -> bool:
    """Whether the run is asked for every test but the slow ones."""
    narrowed = any(config.getoption(name, None) for name in NARROWING)
    everything = config.args_source is config.ArgsSource.TESTPATHS
    return everything and config.option.markexpr in WHOLE_SUITE and not narrowed
