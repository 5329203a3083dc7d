"""What a mutant is."""

from __future__ import annotations

from dataclasses import dataclass

from tests.guideline.mutants.edits import Edit


@dataclass(frozen=True)
class Mutant:
    """A way to break a clause of the guideline, and an edit that looks like it and breaks none.

    Args:
        id: short name, one of its kind within the clause.
        clause: must be reported for a project with `edit`.
        what: what the edit does.
        edit: breaks the clause in a fresh project.
        twin_what: what the twin does.
        twin: changes the same place, and no clause may be reported for it.
        also: further clauses that the edit breaks; they may be reported, and need not be.
        device: which project it is for.
        seen_in: files that the suite may name besides those that the edit changes: a fault in a
            settings file, say, shows in what reads it.
    """

    id: str
    clause: str
    what: str
    edit: Edit
    twin_what: str
    twin: Edit
    also: frozenset[str] = frozenset()
    device: str = "cpu"
    seen_in: frozenset[str] = frozenset()
