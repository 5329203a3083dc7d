"""What a check says of a project: where a clause is broken, and how to mend it."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Finding:
    """A place that breaks a clause.

    Args:
        file: relative to the project's root.
        line: counted from 1.
        problem: what is wrong, one sentence.
        fix: what to do, one sentence.
    """

    file: str
    line: int
    problem: str
    fix: str

    def __str__(self) -> str:
        """Return the place and the problem in one line, the fix in the next."""
        return f"  {self.file}:{self.line}: {self.problem}\n      Fix: {self.fix}"


class BrokenFileError(Exception):
    """A file that cannot be read as what it is, so that no clause about it can be judged."""

    def __init__(self, file: str, line: int, problem: str) -> None:
        super().__init__(problem)
        self.finding = Finding(file, line, problem, "correct the file; nothing else was judged.")
