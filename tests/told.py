"""Prints at the end of a run what tests tell of it, such as how many mutants were caught.

A pytest plugin. What a test prints is lost where another process runs it, as with `pytest -n 2`;
what it records as the property `TOLD` comes with its report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import pytest

TOLD = "told"
"""The property in which a test tells a line."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the lines of every test, whether it has passed or not."""
    for line in lines(chain.from_iterable(terminalreporter.stats.values())):
        terminalreporter.write_line(line)


def lines(reports: Iterable[object]) -> Iterator[str]:
    """Yield what tests have told; a test has a report for each of its phases."""
    for report in reports:
        if isinstance(report, pytest.TestReport) and report.when == "call":
            yield from (str(value) for name, value in report.user_properties if name == TOLD)
