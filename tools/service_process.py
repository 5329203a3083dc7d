"""Runs a rendered project's service as its users do, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 180.0
STOP_SECONDS = 60.0
LOG_LINES = 15


@dataclass(frozen=True)
class Service:
    """A running service."""

    url: str
    key: str
    pid: int
    project: Path
    log: Path
    metrics: str
    """Host and port of its metrics."""


class ServiceError(Exception):
    """The service did not start or did not stop; the text has the end of its log."""


@contextmanager
def running(
    project: Path, python: Path, settings: Mapping[str, str], log: Path
) -> Iterator[Service]:
    """Run a service until the block ends, and see to it that it ends well.

    Args:
        project: a rendered project.
        python: the interpreter of its environment.
        settings: variables for its environment, over those of this process; its ports are free
            ones where they name none.
        log: where its log goes.

    Raises:
        ServiceError: it is not ready in time, or does not exit with 0 after SIGTERM.
    """
    key = "key-of-a-test"
    own = {name: str(free_port()) for name in ("PORT", "METRICS_PORT")}
    own |= {"API_KEYS": f"tester:{key}", "HF_HUB_OFFLINE": "1", **settings}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(python), "main.py"],
            cwd=project,
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    url, metrics = f"http://127.0.0.1:{own['PORT']}", f"127.0.0.1:{own['METRICS_PORT']}"
    service = Service(url, key, process.pid, project, log, metrics)
    try:
        wait_until_ready(service, process)
        yield service
    except BaseException:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        finally:
            process.kill()
            process.wait()
        raise
    process.send_signal(signal.SIGTERM)
    try:
        status = process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise ServiceError(
            f"the service did not stop in {STOP_SECONDS:g} s:\n{tail(log)}"
        ) from None
    if status != 0:
        raise ServiceError(f"the service ended with {status}:\n{tail(log)}")


def wait_until_ready(service: Service, process: subprocess.Popen[bytes]) -> None:
    """Return when ``/ready`` answers 200.

    Raises:
        ServiceError: the process has ended, or the time is up.
    """
    limit = time.monotonic() + START_SECONDS
    while time.monotonic() < limit:
        if process.poll() is not None:
            raise ServiceError(f"the service ended with {process.returncode}:\n{tail(service.log)}")
        try:
            with urllib.request.urlopen(f"{service.url}/ready", timeout=5) as response:
                if json.load(response)["status"] == "ready":
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise ServiceError(f"the service is not ready in {START_SECONDS:g} s:\n{tail(service.log)}")


def tail(log: Path) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])


def free_port() -> int:
    """Return a TCP port on loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
