"""Runs the guideline suites of projects: each in a process of its own, pytest imported once.

A server process has imported what a suite needs, and forks for every project. So a run takes as
long as the suite itself, and nothing that one project's suite imports reaches the next.
"""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SUITE = "tests/guideline"
SECONDS = 60
CLAUSE = re.compile(r"\[(S\d+\.\d+)[\]-]")
PLACE = re.compile(r"^  (\S.*?):\d+: ", re.MULTILINE)
# tests/conftest.py imports the service, whose packages the template's own environment lacks.
ARGUMENTS = [SUITE, f"--confcutdir={SUITE}", "--rootdir=.", "-p", "no:cacheprovider", "-q"]


@dataclass
class Outcome:
    """What the suite says of a project.

    Args:
        status: pytest's exit status; 0 and 1 are verdicts, all others are none.
        ran: the tests that ran.
        failed: for each clause that is broken, what the suite says about it.
        other: what failed and names no clause.
        output: all that pytest wrote.
    """

    status: int
    ran: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    other: list[str] = field(default_factory=list)
    output: str = ""

    @property
    def verdict(self) -> bool:
        """Whether the suite came to its end and every failure names its clause."""
        return self.status in {0, 1} and not self.other

    def files(self, clause: str) -> set[str]:
        """Return the files that the findings of a clause name."""
        return set(PLACE.findall(self.failed[clause]))


class Recorder:
    """A pytest plugin that fills an `Outcome`."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Take note of a module that cannot be collected."""
        if report.failed:
            self._outcome.other.append(f"{report.nodeid}: {report.longreprtext}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take note of a test."""
        self._outcome.ran += report.when == "call"
        if not report.failed:
            return
        clause = CLAUSE.search(report.nodeid)
        if clause and report.when == "call":
            earlier = self._outcome.failed.get(clause[1], "")
            self._outcome.failed[clause[1]] = f"{earlier}{report.longreprtext}\n"
        else:
            self._outcome.other.append(f"{report.nodeid}: {report.longreprtext}")


class Runner:
    """The client's side of a server process.

    Args:
        folder: an empty one; the project to run the suite of lies in it as `place`.
    """

    def __init__(self, folder: Path) -> None:
        self.place = folder / "project"
        variables = {
            **os.environ,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONDONTWRITEBYTECODE": "",
            # Compiled once: the project of every run has the same path and the same files.
            "PYTHONPYCACHEPREFIX": str(folder / "compiled"),
        }
        for name in ("PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "PYTEST_PLUGINS"):
            variables.pop(name, None)
        self._server = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=variables,
        )

    def run(self) -> Outcome:
        """Run the project's suite."""
        assert self._server.stdin
        assert self._server.stdout
        print(self.place, file=self._server.stdin, flush=True)
        return Outcome(**json.loads(self._server.stdout.readline()))

    def close(self) -> None:
        """End the server."""
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()


def serve() -> None:
    """Answer each path on standard input with the outcome of its project, as a line of JSON."""
    import yaml  # noqa: F401 - imported here for the forked processes

    for line in sys.stdin:
        with tempfile.TemporaryFile("w+") as answer, tempfile.TemporaryFile("w+") as output:
            process = os.fork()
            if process == 0:
                signal.alarm(SECONDS)
                gc.disable()  # it lives for a second
                os.chdir(line.rstrip("\n"))
                for stream in (1, 2):
                    os.dup2(output.fileno(), stream)
                outcome = Outcome(-1)
                outcome.status = int(pytest.main(ARGUMENTS, plugins=[Recorder(outcome)]))
                sys.stdout.flush()
                json.dump(vars(outcome), answer)
                answer.flush()
                os._exit(0)
            _, status = os.waitpid(process, 0)
            answer.seek(0)
            output.seek(0)
            outcome = Outcome(**json.load(answer)) if status == 0 else Outcome(status)
            outcome.output = output.read()
        print(json.dumps(vars(outcome)), flush=True)


if __name__ == "__main__":
    serve()
