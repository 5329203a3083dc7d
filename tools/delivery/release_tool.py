"""A rendered project's own release tool, run as a person or a workflow runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SECONDS = 900.0
END_OF_FILE = b"\x04"  # what the keys Ctrl and D send
# What the tool needs of this process's environment; a test's own settings stay out.
PASSED = ("HOME", "PATH", "TMPDIR")


@dataclass(frozen=True)
class ReleaseTool:
    """The tool in a project, with what it takes to reach a server.

    Args:
        project: folder of the rendered project.
        environment: ``staging`` or ``production``.
        variables: address of the server, secrets, settings.
    """

    project: Path
    environment: str
    variables: Mapping[str, str]

    def run(
        self, *arguments: str, typed: str | None = None, piped: str = "", **variables: str
    ) -> Result:
        """Run a command of the tool to its end.

        Args:
            arguments: ``apply``, ``v1.0.0``, ... The environment is put in the second place.
            typed: what a person types at a terminal; None where there is no terminal.
            piped: what its standard input holds in place of one.
            variables: further variables.
        """
        with _stdin(typed, piped) as stdin:
            done = subprocess.run(
                self._command(*arguments),
                cwd=self.project,
                env=self._variables(variables),
                stdin=stdin,
                check=False,
                capture_output=True,
                text=True,
                timeout=SECONDS,
            )
        return Result(done.returncode, done.stdout, done.stderr)

    def make(self, *arguments: str) -> Result:
        """Run a target of the project's Makefile."""
        done = subprocess.run(
            ["make", "--no-print-directory", *arguments, f"PYTHON={sys.executable}"],
            cwd=self.project,
            env=self._variables({}),
            check=False,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def kill_at(self, step: str, *arguments: str) -> str:
        """Run a command and kill it, ssh and docker included, when it says a step.

        Returns:
            What it said until then.

        Raises:
            AssertionError: it never said the step.
        """
        process = subprocess.Popen(
            self._command(*arguments),
            cwd=self.project,
            env=self._variables({}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdout
        said = []
        for line in process.stdout:
            said.append(line)
            if re.search(step, line):
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                return "".join(said)
        process.communicate()
        raise AssertionError(f"it never said {step!r}: {''.join(said)}")

    def _command(self, first: str, *rest: str) -> list[str]:
        return [sys.executable, "-m", "deploy.release", first, self.environment, *rest]

    def _variables(self, more: Mapping[str, str]) -> dict[str, str]:
        kept = {name: os.environ[name] for name in PASSED if name in os.environ}
        return {**kept, "PYTHONDONTWRITEBYTECODE": "1", **self.variables, **more}


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    status: int
    out: str
    error: str

    def must(self) -> Result:
        """Return it when it went well. Raises AssertionError with what it said."""
        assert self.status == 0, f"status {self.status}\n{self.out}\n{self.error}"
        return self


@contextmanager
def _stdin(typed: str | None, piped: str) -> Iterator[int]:
    """Yield a standard input: a terminal where somebody types, or else a pipe."""
    if typed is None:
        read, write = os.pipe()
        os.write(write, piped.encode())
        os.close(write)
        yield read
        os.close(read)
        return
    person, terminal = os.openpty()
    os.write(person, typed.encode() or END_OF_FILE)
    yield terminal
    os.close(terminal)
    os.close(person)


def write_settings(file: Path, settings: Mapping[str, str]) -> None:
    """Give lines of an env file other values, and add those that it lacks."""
    text = file.read_text("utf-8")
    for name, value in settings.items():
        line = f"{name}={value}"
        text, found = re.subn(rf"^{name}=.*$", line, text, flags=re.MULTILINE)
        if not found:
            text += f"{line}\n"
    file.write_text(text, "utf-8")
