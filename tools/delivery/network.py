"""A network for a story of servers, and the containers on it.

Everything that is made here has the label ``io.kodex.delivery`` with the network's name. What a
run that was killed has left is found by it:

    docker ps --all --filter label=io.kodex.delivery
    docker network ls --filter label=io.kodex.delivery
"""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.containers.engine import EngineError, docker

LABEL = "io.kodex.delivery"
PATIENCE = 60.0
LOG_LINES = "20"


@dataclass(frozen=True)
class Network:
    """A network of this machine's engine; its containers find each other by their roles."""

    name: str

    @property
    def label(self) -> str:
        """The option that marks what belongs to it."""
        return f"--label={LABEL}={self.name}"

    @contextmanager
    def container(
        self, role: str, image: str, *options: str, **variables: str
    ) -> Iterator[Container]:
        """Run a container until the block ends; its volumes without a name go with it.

        Args:
            role: its name in the network.
            image: what it runs.
            options: more options of `docker run`.
            variables: its environment; the values are no arguments of any process.

        Raises:
            EngineError: it cannot be started.
        """
        made = Container(f"{self.name}-{role}", self)
        names = (f"--env={name}" for name in variables)
        where = (f"--network={self.name}", f"--network-alias={role}", f"--hostname={role}")
        try:
            docker(
                *("run", "--detach", "--init", f"--name={made.name}", self.label),
                *(*where, *names, *options, image),
                cwd=None,
                **variables,
            )
            yield made
        finally:
            docker("rm", "--force", "--volumes", made.name)


@dataclass(frozen=True)
class Container:
    """A running container, by its name."""

    name: str
    network: Network

    @property
    def address(self) -> str:
        """Its address in the network."""
        path = f'(index .NetworkSettings.Networks "{self.network.name}").IPAddress'
        return docker("inspect", f"--format={{{{{path}}}}}", self.name)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return docker("inspect", "--format={{.State.Running}}", self.name) == "true"

    def exec(self, *command: str) -> str:
        """Run a command in it and return what it prints. Raises EngineError when it fails."""
        return docker("exec", self.name, *command)

    def port(self, inside: int) -> int:
        """Return the port of this machine's loopback where one of its ports is reached."""
        return int(docker("port", self.name, str(inside)).splitlines()[0].rpartition(":")[2])

    def until(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
        """Wait for a condition. Raises EngineError, with the log, when it does not come."""
        deadline = time.monotonic() + seconds
        while not condition():
            late = time.monotonic() > deadline
            if late or not self.alive:
                problem = f"is not {what} in {seconds:g} s" if late else "has ended"
                raise EngineError(f"{self.name} {problem}: {self.log()}")
            time.sleep(0.1)

    def log(self) -> str:
        """Return the end of what it has written."""
        command = ["docker", "logs", "--tail", LOG_LINES, self.name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout + done.stderr


@contextmanager
def network() -> Iterator[Network]:
    """Make a network, and remove it after the block."""
    made = Network(f"kodex-{uuid.uuid4().hex[:8]}")
    docker("network", "create", made.label, made.name)
    try:
        yield made
    finally:
        docker("network", "rm", made.name)


def succeeds(*command: str) -> bool:
    """Tell whether a docker command does."""
    try:
        docker(*command)
    except EngineError:
        return False
    return True


def leftovers(network: str = "") -> list[str]:
    """Return the names of containers and networks that a story, or any at all, still has."""
    label = f"label={LABEL}={network}" if network else f"label={LABEL}"
    containers = docker("ps", "--all", "--filter", label, "--format={{.Names}}")
    networks = docker("network", "ls", "--filter", label, "--format={{.Name}}")
    return [*containers.split(), *networks.split()]
