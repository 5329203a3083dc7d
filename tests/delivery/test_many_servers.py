"""The same stack on two servers."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.delivery.conftest import NewServer, ServiceImages
from tests.delivery.site import GET, site_on
from tools.delivery.certificate import Certificate
from tools.delivery.load import load

V1, V2 = "v1.0.0", "v2.0.0"
DEAD_SECONDS = 20
HALVES = 2  # of 20 callers, in the instant between an answer's head and its body


@pytest.mark.alone
def test_requests_go_on_when_a_server_dies(
    new_server: NewServer,
    service_images: ServiceImages,
    proxy_image: str,
    certificate: Certificate,
    weights: Path,
    chat: str,
    tmp_path: Path,
) -> None:
    # Given a swarm of two servers with a replica on each
    with (
        new_server("first") as first,
        site_on(first, service_images, proxy_image, certificate, weights, chat, tmp_path) as site,
        new_server("second") as second,
    ):
        second.join(first)
        second.fill_volume(f"{site.stack}_models", weights / "whisper-base-ct2")
        site.serve(V1)
        tasks = first.docker("service", "ps", f"{site.stack}_service", "--format={{.Node}}")
        assert set(tasks.split()) == {"first", "second"}
        with load(site.load(GET), "both") as running:
            # When a version is released to both, Then no request fails
            site.serve(V2)
            assert running.report().problems == []
            # And when one of them dies
            running.phase("one is dead")
            second.kill()
            time.sleep(DEAD_SECONDS)
        # Then requests go on at the other one: the proxy asks again for what the dead one did not
        # answer. Only an answer whose first half has gone to its caller cannot be asked for again.
        report = running.report()
        print(f"\n{report.requests} requests, {report.failed} failed: {report.problems}")
        dead = report.phase("one is dead")
        assert dead.requests > 0
        halves = dead.failures.pop("cut in the body", None)
        assert halves is None or halves.count <= HALVES
        assert report.problems == []
