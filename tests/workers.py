"""Spreads a run over two workers: what stands on the container engine, and the rest.

A pytest plugin, for `pytest -n 2`. The first half waits most of the time, for containers that start
and replicas that change; the second half uses the processor meanwhile, and gives way to the first.
A test marked ``alone`` measures time, so nothing else runs beside it.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

ENGINE = ("tests/containers/", "tests/delivery/")
NICENESS = 10
"""Of the worker that gives way."""


def half(nodeid: str) -> str:
    """Return which half a test belongs to."""
    return "engine" if nodeid.startswith(ENGINE) else "rest"


class Halves(LoadScopeScheduling):
    """Gives each half to a worker of its own, so that what a half shares is made once."""

    def _split_scope(self, nodeid: str) -> str:
        return half(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Halves:
    """Take the place of xdist's own scheduler."""
    return Halves(config, log)


class Turns:
    """Lets tests of both workers run beside each other, but those that are to be alone.

    Who waits for the machine holds the gate, so that a test which is to be alone is not overtaken
    by each next test of the other worker.
    """

    def __init__(self, folder: Path, run: str) -> None:
        """Name the locks.

        Args:
            folder: where the files of the locks are.
            run: id of this run, the same in both workers.
        """
        self.gate, self.machine = (folder / f"kodex-{run}-{name}" for name in ("gate", "machine"))

    @contextmanager
    def take(self, *, alone: bool) -> Iterator[None]:
        """Wait for the machine, and have it."""
        with self.machine.open("a") as machine:
            with self.gate.open("a") as gate:
                fcntl.flock(gate, fcntl.LOCK_EX)
                fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Run a test when its turn has come."""
        if half(item.nodeid) == "rest":
            os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
        with self.take(alone=item.get_closest_marker("alone") is not None):
            return (yield)

    def pytest_unconfigure(self) -> None:
        """Leave nothing behind."""
        for lock in (self.gate, self.machine):
            lock.unlink(missing_ok=True)


def pytest_configure(config: pytest.Config) -> None:
    """Take turns, where there is another worker."""
    run = getattr(config, "workerinput", {}).get("testrunuid")
    if run:
        config.pluginmanager.register(Turns(Path(tempfile.gettempdir()), run), "turns")
