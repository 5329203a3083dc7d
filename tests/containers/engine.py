"""The container engine, by its own command: build, run, look, stop."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

KEY = "key-of-a-test"
# What compose.yaml asks for, as options of `docker run`.
HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp")
# Volumes without a name, which go with the container.
FRESH = ("--volume=/srv/data", "--volume=/srv/models", "--volume=/srv/static/tts")
PATIENCE = 120.0
APPUSER = 10001


class EngineError(Exception):
    """A command of the engine has failed; the text is what it said."""


def docker(*arguments: str, cwd: Path | None = None, **variables: str) -> str:
    """Run a docker command and return what it prints.

    Raises:
        EngineError: it has failed.
    """
    done = subprocess.run(
        ["docker", *arguments],
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
    )
    if done.returncode != 0:
        raise EngineError(f"docker {arguments[0]}: {(done.stderr or done.stdout)[-4000:]}")
    return done.stdout.strip()


@dataclass(frozen=True)
class Container:
    """A container, by its id."""

    id: str

    @property
    def state(self) -> dict[str, Any]:
        """What the engine knows: ``Status``, ``ExitCode``, ``Health``, ``Pid``."""
        state: dict[str, Any] = self.inspect()["State"]
        return state

    @property
    def health(self) -> str:
        """``starting``, ``healthy`` or ``unhealthy``."""
        status: str = self.state["Health"]["Status"]
        return status

    @property
    def url(self) -> str:
        """Where port 8000 is reached."""
        return f"http://{docker('port', self.id, '8000').splitlines()[0]}"

    def inspect(self) -> dict[str, Any]:
        """Return everything the engine knows."""
        found: dict[str, Any] = json.loads(docker("inspect", self.id))[0]
        return found

    def logs(self) -> str:
        """Return what it has written so far."""
        done = subprocess.run(["docker", "logs", self.id], check=True, capture_output=True)
        return (done.stdout + done.stderr).decode("utf-8", "replace")

    def exec(self, *command: str) -> str:
        """Run a command in it. Raises EngineError when the command fails."""
        return docker("exec", self.id, *command)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition. Raises EngineError, with the log, when it does not come."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise EngineError(f"not {what} in {PATIENCE:g} s: {self.logs()[-3000:]}")
            time.sleep(0.2)

    def until_ready(self) -> None:
        """Wait until it can answer. Raises EngineError when it ends before."""

        def ready() -> bool:
            if self.state["Status"] != "running":
                raise EngineError(f"it has ended: {self.logs()[-3000:]}")
            try:
                return self.get("/ready").status_code == 200
            except httpx2.TransportError:
                return False

        self.until(ready, "ready")

    def until_exited(self) -> tuple[int, str]:
        """Wait for its end; return the exit status and the log."""
        self.until(lambda: self.state["Status"] == "exited", "at its end")
        return self.state["ExitCode"], self.logs()

    def get(self, path: str) -> httpx2.Response:
        """Ask for a page."""
        return httpx2.get(f"{self.url}{path}", timeout=PATIENCE)

    def post(self, path: str, **content: Any) -> httpx2.Response:
        """Call a route, with the key."""
        headers = {"Authorization": f"Bearer {KEY}"}
        return httpx2.post(f"{self.url}{path}", headers=headers, timeout=PATIENCE, **content)


@dataclass
class Volumes:
    """The three volumes of a service, removed at the end."""

    names: dict[str, str] = field(default_factory=dict)

    def options(self) -> list[str]:
        """Return them as options of `docker run`."""
        return [f"--volume={name}:{target}" for target, name in self.names.items()]


@contextmanager
def volumes(*targets: str) -> Iterator[Volumes]:
    """Make a volume for each folder of the container, and remove them after the block."""
    made = Volumes({target: f"kodex-test-{uuid.uuid4().hex[:12]}" for target in targets})
    for name in made.names.values():
        docker("volume", "create", name)
    try:
        yield made
    finally:
        docker("volume", "rm", "--force", *made.names.values())


@contextmanager
def running(
    image: str, *options: str, settings: Mapping[str, str] | None = None, hardened: bool = True
) -> Iterator[Container]:
    """Start a container of a service; it is removed, with its volumes without name, at the end."""
    given = {"API_KEYS": f"tester:{KEY}", "HF_HUB_OFFLINE": "1", **(settings or {})}
    environment = [f"--env={name}={value}" for name, value in given.items()]
    network = (
        [] if any("--network" in option for option in options) else ["--publish=127.0.0.1::8000"]
    )
    safety = HARDENED if hardened else ()
    container = Container(docker("create", *network, *safety, *environment, *options, image))
    try:
        docker("start", container.id)
        yield container
    finally:
        docker("rm", "--force", "--volumes", container.id)
