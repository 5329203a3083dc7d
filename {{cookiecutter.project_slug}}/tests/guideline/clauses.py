"""The guideline's clauses, and what makes a function the check of one."""

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.guideline.findings import BrokenFileError, Finding
from tests.guideline.project import Project

FILE = Path(__file__).with_name("clauses.toml")
Check = Callable[[Project], Iterator[Finding]]


@dataclass(frozen=True)
class Clause:
    """A sentence of the guideline that a project can be held against.

    Args:
        id: section and number, such as ``S4.3``.
        since: version of the guideline that brought it.
        ko, en: the statement.
        files: globs of the files that fulfil it in a fresh project.
    """

    id: str
    since: str
    ko: str
    en: str
    files: tuple[str, ...]

    def report(self, findings: list[Finding]) -> str:
        """Return the text for somebody whose project breaks it."""
        head = f"{self.id} (since {self.since}) {self.ko} / {self.en}"
        return "\n".join([head, *(str(finding) for finding in sorted(set(findings)))])


def read_clauses() -> dict[str, Clause]:
    """Return every clause by its id, in the guideline's order."""
    rows = tomllib.loads(FILE.read_text("utf-8"))["clause"]
    return {row["id"]: Clause(**{**row, "files": tuple(row["files"])}) for row in rows}


CLAUSES = read_clauses()


def guards(clause_id: str) -> Callable[[Check], Callable[[Clause, Project], None]]:
    """Make a generator of findings the test of a clause; the test's id ends in ``[<clause>]``.

    Raises:
        pytest.UsageError: there is no such clause.
    """
    if clause_id not in CLAUSES:
        raise pytest.UsageError(f"{clause_id} is no clause of {FILE.name}: correct the id.")

    def decorate(check: Check) -> Callable[[Clause, Project], None]:
        @pytest.mark.parametrize("clause", [CLAUSES[clause_id]], ids=[clause_id])
        def test(clause: Clause, project: Project) -> None:
            try:
                findings = list(check(project))
            except BrokenFileError as error:
                findings = [error.finding]
            if findings:
                pytest.fail(clause.report(findings), pytrace=False)

        test.__name__, test.__doc__, test.__module__ = (
            check.__name__,
            check.__doc__,
            check.__module__,
        )
        return test

    return decorate
