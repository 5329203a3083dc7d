"""A server whose service is watched: what is measured, and a release that is taken back for it."""

from __future__ import annotations

import json
import re
import ssl
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.delivery.conftest import FAILS_LATER, NewServer, ServiceImages
from tests.delivery.site import GET, KEY, SPEECH, Site, site_on
from tests.monitoring.expressions import dashboard_queries
from tools.delivery.certificate import Certificate
from tools.delivery.load import load

V1, V2 = "v1.0.0", "v2.0.0"
APPROVED = ("--approved-by", "test")
SECRETS = {"ALERT_WEBHOOK_URL": "http://hook.invalid/canary-of-the-hook"}
PATIENCE = 60.0


@pytest.fixture(scope="module")
def watched(
    new_server: NewServer,
    service_images: ServiceImages,
    proxy_image: str,
    watcher_images: dict[str, str],
    certificate: Certificate,
    weights: Path,
    chat: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """Return a server in production on which v1.0.0 serves, and is watched.

    Grafana is in no package, so its replicas are none.
    """
    folder = tmp_path_factory.mktemp("watched")
    with (
        new_server("watched") as server,
        site_on(server, service_images, proxy_image, certificate, weights, chat, folder) as site,
    ):
        site.serve(V1)
        settings = {**watcher_images, **SECRETS, "GRAFANA_REPLICAS": "0"}
        # What is asked from outside has another address from inside, and a certificate for others.
        inside = {"PUBLIC_URL": "https://proxy:8443"}
        probe = site.tool.project / "deploy" / "monitoring" / "blackbox.yml"
        unchecked = "    http:\n      tls_config: { insecure_skip_verify: true }\n"
        probe.write_text(probe.read_text("utf-8").replace("    http:\n", unchecked), "utf-8")
        done = site.tool.run("monitoring", *APPROVED, **settings, **inside).must()
        assert "production is watched." in done.out
        assert "canary" not in done.out + done.error
        yield site


def ask(site: Site, expression: str, minutes: int = 0) -> list[dict[str, object]]:
    """Return the samples of an expression: of now, or every half minute of a time until now."""
    label = f"label=com.docker.swarm.service.name={site.stack}-monitoring_prometheus"
    container = site.server.docker("ps", "--quiet", "--filter", label).split()[0]
    began = f"--start={int(time.time()) - 60 * minutes}"
    kind = ("range", began, "--step=30s") if minutes else ("instant",)
    query = ("promtool", "query", *kind, "--format=json", "http://localhost:9090", expression)
    samples: list[dict[str, object]] = json.loads(site.server.docker("exec", container, *query))
    return samples


def value(site: Site, expression: str) -> float:
    """Return the value of an expression that has one; -1 before it has."""
    samples = ask(site, expression)
    return float(samples[0]["value"][1]) if samples else -1  # type: ignore[index]


def until(site: Site, expression: str, wanted: float) -> None:
    """Wait until an expression has a value."""
    deadline = time.monotonic() + PATIENCE
    while (found := value(site, expression)) != wanted:
        assert time.monotonic() < deadline, f"{expression} is {found:g}"
        time.sleep(1)


def test_every_replica_the_proxy_and_the_probe_are_measured(watched: Site) -> None:
    # Given a service of two replicas behind a proxy, and its monitoring
    # When Prometheus has looked, Then it has found each of them by its name
    until(watched, 'count(up{job="service"} == 1)', 2)
    until(watched, 'count(service_info{version="v1.0.0"} == 1)', 2)
    until(watched, "max(service_replicas_wanted)", 2)
    until(watched, 'haproxy_backend_active_servers{proxy="service"}', 2)
    until(watched, "probe_success", 1)
    # And Alertmanager takes what it says, and has the web hook's address in a file alone
    until(watched, "prometheus_notifications_alertmanagers_discovered or vector(1)", 1)
    services = watched.server.docker(
        "service", "inspect", f"{watched.stack}-monitoring_alertmanager"
    )
    assert "ALERT_WEBHOOK_URL" in services
    assert "canary" not in services


def test_one_id_goes_from_the_proxy_to_the_service_and_back(watched: Site) -> None:
    # Given callers with an id of their own, with none, and with one that is no plain word
    context = ssl.create_default_context(cafile=watched.authority)
    with httpx2.Client(base_url=watched.url, verify=context, timeout=30) as client:
        client.headers["Authorization"] = f"Bearer {KEY}"
        # When they ask
        given = [
            client.get("/v1/models", headers={"X-Request-ID": sent} if sent else {}).headers
            for sent in ("from-a-caller.1", "", "no plain word")
        ]
    own, new, replaced = (headers["X-Request-ID"] for headers in given)
    # Then a plain id is kept, and others get one
    assert own == "from-a-caller.1"
    assert uuid.UUID(new)
    assert uuid.UUID(replaced)
    # And the service's log has each
    logs = f"docker service logs --raw {watched.stack}_service 2>&1"
    log = watched.server.exec("sh", "-c", logs)
    lines = [json.loads(line) for line in log.splitlines() if '"request"' in line]
    assert {own, new, replaced} <= {line["request_id"] for line in lines}


def test_a_good_version_lasts_through_its_watch(watched: Site) -> None:
    # Given callers, When a good version is released with a watch, Then it stays
    with load(watched.load(*(GET,) * 4, SPEECH), "good") as running:
        done = watched.tool.run("apply", V2, *APPROVED, WATCH_SECONDS="30").must()
        assert "watch errors and latency for 30 s" in done.out
        # And it is taken back by hand
        done = watched.tool.run("rollback", *APPROVED, WATCH_SECONDS="300").must()
        assert "watch errors" not in done.out  # a person has looked
    assert running.report().problems == []
    assert watched.version() == V1
    until(watched, 'count(last_over_time(release_event{kind="rollback"}[10m]))', 1)


def test_a_version_that_fails_later_is_taken_back_by_the_watch(watched: Site) -> None:
    # Given callers who have texts spoken, and a version that refuses to, once it is released
    with load(watched.load(*(GET,) * 4, SPEECH), "before") as running:
        running.phase("released")
        # When it is released, with a watch of five minutes
        began = time.monotonic()
        result = watched.tool.run("apply", FAILS_LATER, *APPROVED, WATCH_SECONDS="300")
        seconds = time.monotonic() - began
        # Then the smoke test passes, the watch sees the errors, and the former version serves again
        assert result.status == 1, result.out
        told = re.findall(r"^\d\d:\d\d:\d\d (.+)$", result.out, re.MULTILINE)
        assert "smoke test" in told
        story = told[told.index("watch errors and latency for 300 s") :]
        assert re.fullmatch(r"v5\.1\.0: [\d.]+% of \d+ requests failed, .* is 1\.0%", story[1])
        assert f"roll back to {V1}" in story
        assert result.error.startswith(f"Error: {FAILS_LATER} failed. {V1} serves. The reason: ")
        assert seconds < 300, "before the time of the watch was over"
        assert watched.version() == V1
        # And callers are served again, without a failure
        running.phase("after")
        running.until_requests(running.report().requests + 500, PATIENCE)
    report = running.report()
    assert {kind for phase in report.phases for kind in phase.failures} == {"status 503"}
    assert report.phase("after").failures == {}
    # And the journal and the dashboards know of it
    assert f"{FAILS_LATER} " in watched.tool.run("history").must().out.splitlines()[-1]
    kinds = ask(watched, "count by (kind, version) (last_over_time(release_event[10m]))")
    moments = {(k["metric"]["kind"], k["metric"]["version"]) for k in kinds}  # type: ignore[index]
    assert {("roll", FAILS_LATER), ("taken_back", V1)} <= moments


def test_every_query_of_the_dashboards_has_data(watched: Site) -> None:
    # Given a service that was released, and has heard, answered and spoken
    context = ssl.create_default_context(cafile=watched.authority)
    sound = (watched.tool.project / "tests/data/speech.wav").read_bytes()
    with load(watched.load(SPEECH, streams=1), "traffic") as running:
        with httpx2.Client(base_url=watched.url, verify=context, timeout=PATIENCE) as client:
            client.headers["Authorization"] = f"Bearer {KEY}"
            for _ in range(8):
                # All three engines, one after the other, in both replicas.
                client.post("/api/voice-chat", files={"file": sound}).raise_for_status()
        running.until_requests(200, PATIENCE)
        time.sleep(15)  # Prometheus looks every ten
    # When each panel's query and each annotation's is asked, for the last quarter of an hour
    empty = [
        f"{dashboard}: {query}"
        for dashboard, query in dashboard_queries(watched.tool.project)
        if not ask(watched, query, minutes=15)
    ]
    # Then each has data
    assert empty == []


def test_what_cannot_be_watched_is_told(watched: Site) -> None:
    # Given an environment without a service, and one whose e-mail is half set
    for variables, message in (
        ({}, "GRAFANA_PASSWORD is missing: give Grafana's administrator a password"),
        (
            {"GRAFANA_REPLICAS": "0", "ALERT_EMAIL_TO": "team@example.com"},
            "ALERT_EMAIL_TO needs ALERT_EMAIL_FROM, and ALERT_SMTP=host:port of a mail server.",
        ),
    ):
        # When its monitoring is asked for, Then it is told what is missing
        result = watched.tool.run("monitoring", *APPROVED, **variables)
        assert result.status == 1
        assert message in result.error
