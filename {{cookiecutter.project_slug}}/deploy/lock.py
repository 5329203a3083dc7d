"""One release at a time: a container on the server that lives while its holder is connected."""

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep

from deploy.docker import DockerError, docker, environment, inspect
from deploy.errors import DeployError
from deploy.project import Target

WAIT_SECONDS = 15.0
END_SECONDS = 30.0
ANSWER_SECONDS = 120.0
HOLDER_LABEL = "io.kodex.holder"


class Lock:
    """A lock that is held.

    Args:
        process: the docker command that is attached to the container.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def check(self) -> None:
        """Raise `DeployError` when the lock was lost: another release may have begun."""
        if self._process.poll() is not None:
            raise DeployError("The connection that holds the lock was lost. See status.")


def lock_name(target: Target) -> str:
    """Return the name of the container that is the lock."""
    return f"{target.stack}_lock"


def holder(target: Target) -> str | None:
    """Return who holds the lock, None when nobody does."""
    for found in inspect("container", [lock_name(target)]):
        if found["State"]["Running"]:
            return str(found["Config"]["Labels"].get(HOLDER_LABEL, "somebody"))
    return None


@contextmanager
def held(target: Target, image: str, who: str) -> Iterator[Lock]:
    """Hold the lock within the block.

    The container runs ``cat`` on this process's connection: when the process ends or the
    connection is lost, however that comes, ``cat`` ends, and the engine removes the container.

    Args:
        target: the environment to lock.
        image: an image that the server has.
        who: what others are told.

    Raises:
        DeployError: another release holds it.
    """
    name = lock_name(target)
    command = ["docker", "run", "--interactive", "--rm", "--name", name, "--pull=never"]
    limits = ["--network=none", "--read-only", "--cap-drop=ALL", "--no-healthcheck"]
    arguments = [*command, *limits, "--label", f"{HOLDER_LABEL}={who}", "--entrypoint=cat", image]
    deadline = monotonic() + WAIT_SECONDS
    while True:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        patience = threading.Timer(ANSWER_SECONDS, process.kill)
        patience.start()
        try:
            process.stdin.write("held\n")
            process.stdin.flush()
            if process.stdout.readline() == "held\n":
                break
        except BrokenPipeError:
            pass  # it says why on its standard error
        finally:
            patience.cancel()
        said = process.stderr.read().strip()
        process.communicate()
        if "already in use" not in said:
            reason = (said.splitlines() or ["no reason was given"])[0]
            raise DeployError(f"The lock cannot be taken: {reason}")
        other = holder(target)
        if other:
            raise DeployError(
                f"Another release is going on: {other}. Wait for its end. If nobody releases, its "
                f"connection was lost without a word: docker rm --force {name}"
            )
        # It has just ended and is being removed, or its holder died before it had started.
        sleep(1)
        with contextlib.suppress(DockerError):
            docker("rm", name)  # without force: one that has begun to run meanwhile is held
        if monotonic() > deadline:
            raise DeployError(f"The lock {name} is neither held nor gone: docker rm --force {name}")
    try:
        yield Lock(process)
    finally:
        try:
            process.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:  # the connection is dead
            process.kill()
            process.communicate()
