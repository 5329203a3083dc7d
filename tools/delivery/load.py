"""Steady load on a service, and a report of every failure.

    with load(Plan("https://127.0.0.1:8443", authority=pem), "before") as running:
        running.phase("v1 -> v2")
        ...
    assert running.report().problems == []

The clients run in a process of their own, `tools.delivery.clients`. They try nothing twice: a
request that fails is a failure, whatever comes after it. (A connection that the other side has
closed while it was idle is no failure. A client that finds it closed opens another one before it
sends anything, which is what HTTP asks of it; the report counts these as `reopened`. Where the
closing and the request cross each other on the way, the request is lost, and counts as a failure.)
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from tools.environments import ROOT

STOP_SECONDS = 120.0
"""How long the clients have for what they have begun."""


@dataclass(frozen=True)
class Request:
    """What a client asks for."""

    path: str
    body: dict[str, Any] | None = None
    """None is a GET; else a POST of this as JSON."""


@dataclass(frozen=True)
class Stream:
    """An answer that is streamed: numbers from 0, as `tests/servers/chat_server.py` writes them."""

    model: str = "default"
    path: str = "/v1/chat/completions"
    tokens: int = 40
    """How many it must have."""


@dataclass(frozen=True)
class Plan:
    """A load.

    Each client sends its next request `interval_seconds` after the last one, or when that has been
    answered. 16 + 4 clients every 0.05 s are up to 400 requests a second.
    """

    url: str
    """Of the service, without a path."""
    requests: tuple[Request, ...] = (Request("/health"),)
    """Each client takes them in turn."""
    keep_alive: int = 16
    """Clients that keep their connection."""
    fresh: int = 4
    """Clients that open one for each request."""
    streams: int = 0
    """Clients that read streamed answers, one after the other, each on its own connection."""
    stream: Stream = field(default_factory=Stream)
    interval_seconds: float = 0.05
    timeout_seconds: float = 30.0
    """For a whole answer; for a streamed one, from one piece to the next."""
    key: str = ""
    """Bearer key of every POST."""
    authority: str = ""
    """File with the certificates that HTTPS trusts; the system's when empty."""


@dataclass
class Failure:
    """Failures of one kind in one phase."""

    count: int
    first_seconds: float
    """When the first one was, since the load began."""


@dataclass
class Phase:
    """What happened in a part of the load. A request belongs to the phase in which it ended."""

    name: str
    seconds: float
    """How long the phase was."""
    requests: int = 0
    """Answered well or failed; streams are not among them."""
    failures: dict[str, Failure] = field(default_factory=dict)
    """By kind: ``status 503``, ``connect: Connection refused``, ``stream: cut``, ..."""
    versions: dict[str, int] = field(default_factory=dict)
    """What /health has told, and how often."""
    p50_ms: float | None = None
    """Half of the requests that were answered well took no longer; None without any."""
    p99_ms: float | None = None
    streams_complete: int = 0
    streams_cut: int = 0
    """Streams that failed, in any way; each is a failure too."""
    reopened: int = 0
    """Kept connections that the other side has closed between two requests."""

    @property
    def failed(self) -> int:
        """How many requests and streams have failed."""
        return sum(failure.count for failure in self.failures.values())


@dataclass
class Report:
    """What happened so far."""

    phases: list[Phase]
    seconds: float
    cpu_seconds: float
    """What the clients have used of this machine."""

    @property
    def requests(self) -> int:
        """How many requests have ended; streams are not among them."""
        return sum(phase.requests for phase in self.phases)

    @property
    def streams(self) -> int:
        """How many streams have ended."""
        return sum(phase.streams_complete + phase.streams_cut for phase in self.phases)

    @property
    def failed(self) -> int:
        """How many requests and streams have failed."""
        return sum(phase.failed for phase in self.phases)

    @property
    def problems(self) -> list[str]:
        """A line for each kind of failure in each phase."""
        return [
            f"{phase.name}: {failure.count} x {kind}, first at {failure.first_seconds:.1f} s"
            for phase in self.phases
            for kind, failure in phase.failures.items()
        ]

    def phase(self, name: str) -> Phase:
        """Return a phase by its name. Raises StopIteration."""
        return next(phase for phase in self.phases if phase.name == name)


class LoadError(Exception):
    """The clients have ended by themselves, or never end."""


class Running:
    """A running load."""

    def __init__(self, process: subprocess.Popen[str], log: IO[str]) -> None:
        self._process = process
        self._log = log
        self._final: Report | None = None

    def phase(self, name: str) -> None:
        """Begin a new phase."""
        self._send({"phase": name})

    def report(self) -> Report:
        """Return what happened so far; after the load's end, everything. Raises LoadError."""
        if self._final:
            return self._final
        self._send({"report": True})
        assert self._process.stdout
        return self._read(self._process.stdout.readline())

    def until_requests(self, count: int, seconds: float) -> None:
        """Wait until so many requests have ended. Raises LoadError when that takes too long."""
        deadline = time.monotonic() + seconds
        while (sent := self.report().requests) < count:
            if time.monotonic() > deadline:
                raise LoadError(f"{sent} requests in {seconds:g} s, not {count}")
            time.sleep(0.2)

    def stop(self) -> None:
        """Let the clients finish what they have begun. Raises LoadError."""
        try:
            out, _ = self._process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise LoadError(f"the clients do not end in {STOP_SECONDS:g} s") from error
        self._final = self._read(out)

    def _send(self, command: dict[str, Any]) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._ended() from error

    def _read(self, line: str) -> Report:
        if not line:
            raise self._ended()
        content = json.loads(line)
        for phase in content["phases"]:
            failures = phase["failures"].items()
            phase["failures"] = {kind: Failure(**failure) for kind, failure in failures}
        phases = [Phase(**phase) for phase in content.pop("phases")]
        return Report(phases, **content)

    def _ended(self) -> LoadError:
        self._log.seek(0)
        lines = self._log.read().splitlines() or ["without a word"]
        return LoadError(f"the clients have ended: {lines[-1]}")


@contextmanager
def load(plan: Plan, phase: str = "load") -> Iterator[Running]:
    """Put load on a service until the block ends, and wait for the answers then.

    Args:
        plan: what the clients do.
        phase: name of the first phase.

    Raises:
        LoadError: the clients have ended before.
    """
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.delivery.clients"],
            cwd=Path(ROOT),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,  # an interrupt is ours to answer
        )
        running = Running(process, log)
        try:
            running._send({"plan": asdict(plan), "phase": phase})
            yield running
            running.stop()
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe and not pipe.closed:
                    pipe.close()
