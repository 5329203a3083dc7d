"""Which clause of the guideline a file fulfils: ``tests/guideline/clauses.toml``, read."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

FILE = "tests/guideline/clauses.toml"


@dataclass(frozen=True)
class Clause:
    """A clause of the guideline.

    Args:
        id: such as ``S4.3``.
        since: version of the guideline that brought it.
        statement: what it asks for, in the language of this project's documents.
        files: patterns of the files that fulfil it.
    """

    id: str
    since: str
    statement: str
    files: tuple[str, ...]

    def covers(self, path: str) -> bool:
        """Tell whether a file is one of those that fulfil this clause."""
        return any(fnmatchcase(path, pattern) for pattern in self.files)


@dataclass(frozen=True)
class Group:
    """Changed files that fulfil the same clauses; no clauses for those that fulfil none."""

    clauses: tuple[Clause, ...]
    paths: tuple[str, ...]

    @property
    def title(self) -> str:
        """The clauses' ids, or what stands in their place."""
        return " ".join(clause.id for clause in self.clauses) or "No clause of the guideline"


def read(rendering: Path, language: str) -> list[Clause]:
    """Return the clauses that a rendering has; none where it is older than their table."""
    try:
        tables = tomllib.loads((rendering / FILE).read_text("utf-8"))["clause"]
        return [
            Clause(one["id"], one["since"], one[language], tuple(one["files"])) for one in tables
        ]
    except (OSError, ValueError, KeyError):
        return []


def grouped(changed: Iterable[str], clauses: list[Clause]) -> list[Group]:
    """Return the files by the clauses that they fulfil, in the clauses' order."""
    groups: dict[tuple[Clause, ...], list[str]] = {}
    for path in changed:
        fulfilled = tuple(clause for clause in clauses if clause.covers(path))
        groups.setdefault(fulfilled, []).append(path)
    order = {clause: number for number, clause in enumerate(clauses)}
    ranked = sorted(groups, key=lambda key: [order[one] for one in key] or [len(order)])
    return [Group(key, tuple(groups[key])) for key in ranked]
