"""The Prometheus that watches a service: asked, and told of releases, inside its own container.

It is published nowhere. Its image has ``promtool``, and the docker command reaches the server.
"""

import json
from dataclasses import dataclass

from deploy.docker import DockerError, docker
from deploy.project import Target

SERVICE = "prometheus"
ADDRESS = "http://localhost:9090"
EVENT = "release_event"
ROLL, ROLLBACK, TAKEN_BACK = "roll", "rollback", "taken_back"


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus, by its container on the server that the docker command reaches."""

    container: str

    def value(self, expression: str) -> float | None:
        """Return what an expression is now; None where there is no such series, or no number.

        Args:
            expression: PromQL with at most one series.

        Raises:
            DockerError: Prometheus does not answer.
        """
        answer = docker(
            *("exec", self.container, "promtool", "query", "instant"),
            *("--format=json", ADDRESS, expression),
        )
        try:
            samples = json.loads(answer)
        except ValueError as error:
            raise DockerError(f"promtool printed no JSON: {answer[:200]}") from error
        if not samples:
            return None
        value = float(samples[0]["value"][1])
        return value if value == value else None  # NaN, of a division by zero

    def tell(self, version: str, kind: str) -> None:
        """Have it remember a moment in a release, for the dashboards.

        Raises:
            DockerError: Prometheus does not take it.
        """
        labels = f'version="{version}",kind="{kind}"'
        docker(
            *("exec", "--interactive", self.container, "promtool", "push", "metrics"),
            *("--label=job=release", f"{ADDRESS}/api/v1/write"),
            text=f"# TYPE {EVENT} gauge\n{EVENT}{{{labels}}} 1\n",
        )


def find(target: Target) -> Prometheus | None:
    """Return the Prometheus beside a service, None where none runs on this server."""
    label = f"label=com.docker.swarm.service.name={target.monitoring.stack}_{SERVICE}"
    found = docker("ps", "--quiet", "--filter", label, "--filter", "status=running").split()
    return Prometheus(found[0]) if found else None


def tell(target: Target, version: str, kind: str) -> None:
    """Have the Prometheus of a service remember a moment in a release, where there is one.

    A release never fails because of it.
    """
    try:
        if prometheus := find(target):
            prometheus.tell(version, kind)
    except DockerError:
        return
