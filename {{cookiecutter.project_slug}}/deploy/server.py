"""What a server runs now."""

import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

from deploy.docker import DockerError, docker, inspect
from deploy.errors import DeployError
from deploy.project import Target
from deploy.stack import PROXY, SERVICE

VERSION_LABEL = "io.kodex.version"
DIGEST_LABEL = "io.kodex.digest"
# States of a task that ended without having been asked to. One that has failed says more of why
# than one that the swarm has ended, and a release that goes back leaves both.
ENDED = ({"failed", "rejected"}, {"complete"})
# What the engine fills into a service's specification by itself: 10 s, in nanoseconds.
DEFAULTS = {"StopGracePeriod": 10_000_000_000}
Object = dict[str, Any]


@dataclass(frozen=True)
class ServiceState:
    """A service of the stack and its tasks, at one moment.

    Args:
        service: what the engine knows of it.
        tasks: its tasks, old ones included.
    """

    service: Object
    tasks: list[Object]

    @property
    def version(self) -> str:
        """The version it is to run; after an automatic rollback, the former one."""
        return str(self.service["Spec"]["Labels"].get(VERSION_LABEL, ""))

    @property
    def update(self) -> str:
        """State of the last update: ``updating``, ``completed``, ``rollback_completed``, ..."""
        return str((self.service.get("UpdateStatus") or {}).get("State", ""))

    @property
    def wanted(self) -> list[Object]:
        """The tasks that are to run."""
        return [task for task in self.tasks if task["DesiredState"] == "running"]

    @property
    def current(self) -> list[Object]:
        """The tasks that run as the service now says."""
        spec = _filled(self.service["Spec"]["TaskTemplate"]["ContainerSpec"])
        return [
            task
            for task in self.wanted
            if task["Status"]["State"] == "running"
            and _filled(task["Spec"]["ContainerSpec"]) == spec
        ]

    @property
    def waiting(self) -> str:
        """Why a task finds no server to run on, empty where each has found one."""
        pending = [task for task in self.wanted if task["Status"]["State"] == "pending"]
        return next((str(task["Status"]["Err"]) for task in pending if "Err" in task["Status"]), "")

    @property
    def replicas(self) -> int:
        """How many tasks there should be."""
        mode = self.service["Spec"]["Mode"]
        if "Replicated" in mode:
            return int(mode["Replicated"]["Replicas"])
        return max(1, len(self.wanted))

    @property
    def settled(self) -> bool:
        """Whether every task runs as the service says, and no update goes on."""
        return (
            self.update in {"", "completed", "rollback_completed"}
            and len(self.current) == len(self.wanted) == self.replicas
        )


def _filled(spec: Object) -> Object:
    """Return a specification without what a task's copy leaves out: empty parts and defaults."""
    return {name: value for name, value in spec.items() if value and value != DEFAULTS.get(name)}


def address() -> str:
    """Return the server's address, as the docker command has it."""
    return os.environ.get("DOCKER_HOST") or "this machine"


def node_name() -> str:
    """Return the name that the server has for itself.

    Raises:
        DeployError: it cannot be reached, or is no manager of a swarm.
    """
    try:
        info = json.loads(docker("info", "--format", "{{json .}}"))
    except DockerError as error:
        raise DeployError(
            f"The server {address()} cannot be reached: {str(error).splitlines()[-1]}"
        ) from error
    if errors := info.get("ServerErrors"):
        raise DeployError(f"The server {address()} cannot be reached: {errors[0]}")
    if not info["Swarm"].get("ControlAvailable"):
        raise DeployError(
            f"The server {info['Name']} manages no swarm. Once, on the server: docker swarm init"
        )
    return str(info["Name"])


def read_service(target: Target, name: str) -> ServiceState | None:
    """Return the state of ``service`` or ``proxy``, None where it was never deployed."""
    full_name = f"{target.stack}_{name}"
    services = inspect("service", [full_name])
    if not services:
        return None
    ids = docker("service", "ps", "--quiet", "--no-trunc", full_name).split()
    tasks = sorted(inspect("task", ids), key=lambda task: str(task["CreatedAt"]))
    return ServiceState(services[0], tasks)


def fingerprint(target: Target) -> str:
    """Return a text that changes when somebody changes the stack's services."""
    services = inspect("service", [f"{target.stack}_{name}" for name in (SERVICE, PROXY)])
    specs = json.dumps([service["Spec"] for service in services], sort_keys=True)
    return hashlib.sha256(specs.encode()).hexdigest()


def why_failed(state: ServiceState, since: set[str]) -> str:
    """Return why the newest failed task failed, and the last lines that it wrote.

    Args:
        state: the service and its tasks.
        since: ids of tasks that are older than the release.
    """
    new = [task for task in reversed(state.tasks) if task["ID"] not in since]
    for task in (task for kind in ENDED for task in new if task["Status"]["State"] in kind):
        status = task["Status"]
        reason = str(status.get("Err") or status["State"])
        if status["State"] == "complete":  # with exit status 0, after SIGTERM
            reason = "a replica ended, or its health check failed and the swarm ended it"
        try:
            log = docker("service", "logs", "--raw", "--tail=5", str(task["ID"]))
        except DockerError:
            log = ""  # a task that never started has written nothing
        return "\n    ".join([reason, *log.splitlines()[-5:]])
    return ""
