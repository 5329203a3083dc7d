"""`make monitoring`: what watches the service on one machine, beside `make up`."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.containers.conftest import BASES, STAND_INS
from tests.containers.engine import PATIENCE, docker
from tools.delivery.images import build
from tools.environments import pip_setting
from tools.service_process import free_port

WATCHERS = ("prometheus", "alertmanager", "blackbox")
PAGES = ("PROMETHEUS_PORT", "ALERTMANAGER_PORT", "GRAFANA_PORT")


@dataclass(frozen=True)
class Watched:
    """Addresses of what watches a service."""

    prometheus: str
    alertmanager: str

    def query(self, expression: str) -> list[Any]:
        """Return the samples of an expression."""
        found = httpx2.get(f"{self.prometheus}/api/v1/query", params={"query": expression})
        samples: list[Any] = found.raise_for_status().json()["data"]["result"]
        return samples


@pytest.fixture
def watched(project: Path) -> Iterator[Watched]:
    """Return what `make monitoring` has started; Grafana is in no package."""
    images = {f"{name.upper()}_IMAGE": build(name) for name in WATCHERS}
    ports = {name: str(free_port()) for name in PAGES}
    flags = f"--build-arg BASE_IMAGE={STAND_INS['cpu']}" if BASES == "stand-in" else ""
    environment = {
        **os.environ,
        **images,
        **ports,
        "WATCHERS": " ".join(WATCHERS),
        "BUILD_FLAGS": flags,
        "VERSION": "test",
        "PIP_FIND_LINKS": pip_setting("find-links"),
    }
    try:
        subprocess.run(["make", "monitoring"], cwd=project, check=True, env=environment)
        yield Watched(*(f"http://127.0.0.1:{ports[name]}" for name in PAGES[:2]))
    finally:
        subprocess.run(["make", "down"], cwd=project, check=True, env=environment)
        for name in (project.name, f"{project.name}-monitoring"):
            label = f"label=com.docker.compose.project={name}"
            for volume in docker("volume", "ls", "--quiet", "--filter", label).split():
                docker("volume", "rm", volume)


def test_make_monitoring_watches_the_service(watched: Watched) -> None:
    # Given a service and what watches it, by one command
    deadline = time.monotonic() + PATIENCE
    wanted = ('up{job="service"} == 1', "service_ready == 1", "probe_success == 1")
    # When Prometheus has looked
    while not all(watched.query(expression) for expression in wanted):
        assert time.monotonic() < deadline, [watched.query(one) for one in wanted]
        time.sleep(1)
    # Then the service is measured, and asked from outside; its rules are there, and no alert fires
    rules = httpx2.get(f"{watched.prometheus}/api/v1/rules").json()["data"]["groups"]
    assert {group["name"] for group in rules} >= {"objectives", "errors", "availability"}
    assert watched.query('ALERTS{alertstate="firing"}') == []
    # And Alertmanager has its own file
    status = httpx2.get(f"{watched.alertmanager}/api/v2/status").json()
    assert "receiver: team" in status["config"]["original"]

    # And neither is reached from another machine
    published = docker("ps", "--format={{.Ports}}", "--filter", "name=-monitoring-")
    ports = re.findall(r"\S+->", published)
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
