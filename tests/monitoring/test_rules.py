"""The configuration, the rules and the alerts, read and run by the programs that they are for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from tests.conftest import Answers, Render, name_of, product_of
from tests.monitoring.expressions import MONITORING, RULES, rules
from tests.monitoring.programs import Programs
from tools.service_process import free_port

TESTS = sorted(Path(__file__).with_name("rules").glob("*.test.yml"))
GPU: Answers = {"device": "gpu"}
DURATION = re.compile(r"(\d+)([hms])")
SECONDS = {"h": 3600, "m": 60, "s": 1}
SEVERITIES = {"critical", "warning"}
HEADING = re.compile(r"^## (\w+)$", re.MULTILINE)
# As a release adds them.
RECEIVERS = """\
    webhook_configs: [{"url_file": "/run/secrets/ALERT_WEBHOOK_URL", "send_resolved": true}]
    email_configs: [{"to": "team@example.com", "from": "a@example.com", "smarthost": "mail:25"}]
"""
# Alerts that fire together, and those of them that people are told of.
SILENCED: list[tuple[list[tuple[str, str, str]], set[str]]] = [
    (
        [
            ("EngineBroken", "critical", "errors"),
            ("HighErrorRate", "warning", "errors"),
            ("SlowAnswers", "warning", "latency"),
        ],
        {"EngineBroken", "SlowAnswers"},
    ),
    (
        [
            ("ServiceDown", "critical", "availability"),
            ("ProbeFailing", "critical", "availability"),
            ("SlowAnswers", "warning", "latency"),
            ("DiskFilling", "warning", "storage"),
            ("CertificateExpires", "critical", "certificate"),
        ],
        {"ServiceDown", "DiskFilling", "CertificateExpires"},
    ),
]
PATIENCE = 30.0
each_device = pytest.mark.parametrize("answers", product_of("device"), ids=name_of)
each_variant = pytest.mark.parametrize(
    "answers", product_of("device", "docs_language"), ids=name_of
)
Alert = tuple[str, str]
"""Name and severity."""


def run(*command: object) -> str:
    """Run a program; return what it has said. A failure fails the test, with its words."""
    words = [str(word) for word in command]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def seconds(text: str) -> int:
    """Return a duration of Prometheus, such as ``7m30s``, in seconds."""
    return sum(int(number) * SECONDS[unit] for number, unit in DURATION.findall(str(text)))


def alerts(project: Path) -> dict[Alert, dict[str, Any]]:
    """Return the alerts of a project."""
    return {
        (rule["alert"], rule["labels"]["severity"]): rule
        for _, rule in rules(project)
        if "alert" in rule
    }


def expectations() -> Iterator[tuple[str, str, int, set[str]]]:
    """Yield what the unit tests expect: test, alert, moment, severities that fire."""
    for file in TESTS:
        for test in yaml.safe_load(file.read_text("utf-8"))["tests"]:
            for moment in test["alert_rule_test"]:
                firing = {alert["exp_labels"]["severity"] for alert in moment["exp_alerts"]}
                yield test["name"], moment["alertname"], seconds(moment["eval_time"]), firing


@contextmanager
def alertmanager(programs: Programs, config: Path, folder: Path) -> Iterator[httpx2.Client]:
    """Run Alertmanager until the block ends; yield a client of it."""
    port = free_port()
    command = [
        *(str(programs.alertmanager), f"--config.file={config}", f"--storage.path={folder}"),
        *("--cluster.listen-address=", f"--web.listen-address=127.0.0.1:{port}"),
    ]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        try:
            deadline = time.monotonic() + PATIENCE
            while not is_ready(client):
                assert time.monotonic() < deadline, (folder / "log").read_text("utf-8")
                time.sleep(0.1)
            yield client
        finally:
            process.terminate()


def is_ready(client: httpx2.Client) -> bool:
    """Whether Alertmanager answers."""
    try:
        return client.get("/-/ready").status_code == 200
    except httpx2.TransportError:
        return False


def states(client: httpx2.Client) -> dict[str, str]:
    """Return the state of each alert that Alertmanager has: active, or suppressed by another."""
    return {
        alert["labels"]["alertname"]: alert["status"]["state"]
        for alert in client.get("/api/v2/alerts").raise_for_status().json()
    }


@each_device
def test_prometheus_takes_the_configuration(
    answers: Answers, render: Render, programs: Programs
) -> None:
    # Given a project's configuration with its rules and targets
    folder = render(answers) / MONITORING
    # When promtool checks it, as strictly as it can
    told = run(
        *(programs.promtool, "check", "config", "--lint=all", "--lint-fatal"),
        folder / "prometheus.yml",
    )
    # Then it finds every file of rules, and nothing that is wrong
    assert f"{len(list((folder / 'rules').iterdir()))} rule files found" in told


def test_the_probe_asks_the_exporter_about_the_service(render: Render, programs: Programs) -> None:
    # Given the address of the service that a project has
    config = render({}) / MONITORING / "prometheus.yml"
    # When Prometheus looks for what to probe
    told = run(*(programs.promtool, "check", "service-discovery", "--timeout=1s", config, "probe"))
    # Then it asks the exporter, about /ready, and the series are named by the address
    [target] = json.loads(told)
    labels = target["labels"]
    assert labels["__address__"] == "blackbox:9115"
    assert labels["__param_target"] == "http://service:8000/ready"
    assert labels["__param_module"] == "ready"
    assert labels["instance"] == "http://service:8000"


@each_device
def test_alertmanager_takes_the_configuration(
    answers: Answers, render: Render, programs: Programs, tmp_path: Path
) -> None:
    # Given a project's configuration, as it is and with what a release adds at its end
    file = render(answers) / MONITORING / "alertmanager.yml"
    filled = tmp_path / "alertmanager.yml"
    filled.write_text(file.read_text("utf-8") + RECEIVERS, "utf-8")
    # When amtool checks both
    for config in (file, filled):
        # Then they are right
        run(programs.amtool, "check-config", config)
    # And what was added is the team's
    [team] = yaml.safe_load(filled.read_text("utf-8"))["receivers"]
    assert team["name"] == "team"
    assert team.keys() == {"name", "webhook_configs", "email_configs"}


def test_what_follows_from_another_alert_is_silent(
    render: Render, programs: Programs, tmp_path: Path
) -> None:
    # Given Alertmanager with a project's configuration
    config = render({}) / MONITORING / "alertmanager.yml"
    with alertmanager(programs, config, tmp_path) as client:
        for alerts, told in SILENCED:
            # When several alerts fire
            labels = [
                {"alertname": name, "severity": severity, "area": area}
                for name, severity, area in alerts
            ]
            client.post("/api/v2/alerts", json=[{"labels": one} for one in labels])
            # Then people are told of those that do not follow from another one
            wanted = {name: "active" if name in told else "suppressed" for name, _, _ in alerts}
            deadline = time.monotonic() + PATIENCE
            while (found := states(client)) != wanted:
                assert time.monotonic() < deadline, found
                time.sleep(0.1)
            # And when they are over, of none
            over = [{"labels": one, "endsAt": "2025-01-01T00:00:00Z"} for one in labels]
            client.post("/api/v2/alerts", json=over)


@each_device
def test_the_exporter_takes_the_configuration(
    answers: Answers, render: Render, programs: Programs
) -> None:
    # Given a project's configuration of the blackbox exporter
    file = render(answers) / MONITORING / "blackbox.yml"
    # When the exporter checks it
    # Then it is right
    run(programs.blackbox, "--config.check", f"--config.file={file}")


@pytest.mark.parametrize("test", TESTS, ids=[file.name.partition(".")[0] for file in TESTS])
def test_rules_do_what_their_tests_say(
    test: Path, render: Render, programs: Programs, tmp_path: Path
) -> None:
    # Given a project's rules beside a file of unit tests
    (tmp_path / "rules").symlink_to(render(GPU) / RULES)
    shutil.copy(test, tmp_path)
    # When promtool runs it
    # Then every alert fires, resolves, and keeps quiet as it says, with the words that it says
    run(programs.promtool, "test", "rules", tmp_path / test.name)


def test_a_cpu_project_has_the_same_rules(render: Render) -> None:
    # Given the rules of both devices
    cpu, gpu = (
        {file.name: file.read_text("utf-8") for file in (render(answers) / RULES).iterdir()}
        for answers in ({}, GPU)
    )
    # When they are compared
    # Then the tests of the one are those of the other, but for the cards
    assert gpu.keys() - cpu.keys() == {"gpu.yml"}
    assert cpu == {name: text for name, text in gpu.items() if name != "gpu.yml"}


def test_every_alert_is_driven_to_fire_and_to_resolve(render: Render) -> None:
    # Given the alerts of a project, and what the unit tests expect
    wanted = set(alerts(render(GPU)))
    moments: dict[tuple[str, Alert], list[tuple[int, bool]]] = defaultdict(list)
    for test, name, second, firing in expectations():
        for severity in SEVERITIES:
            moments[test, (name, severity)].append((second, severity in firing))
    # When it is looked for a test in which one fires and, later, does not
    driven, harmless = set(), set()
    for (_, alert), seen in moments.items():
        fires = [second for second, firing in seen if firing]
        if fires and any(second > max(fires) for second, firing in seen if not firing):
            driven.add(alert)
        if not fires:
            harmless.add(alert)
    # Then each alert has one, and each has one in which it keeps quiet
    assert wanted - driven == set()
    assert wanted - harmless == set()
    # And no test is of an alert that is no more
    assert {alert for alert, _ in driven} == {alert for alert, _ in wanted}


@each_variant
def test_every_alert_has_a_page(answers: Answers, render: Render) -> None:
    # Given the alerts of a project
    project = render(answers)
    wanted = alerts(project)
    pages = {
        f"docs/{file.name}#{heading.lower()}"
        for file in (project / "docs").glob("operations*.md")
        for heading in HEADING.findall(file.read_text("utf-8"))
    }
    # When the page is looked for that each names
    for (name, _), rule in wanted.items():
        page = rule["annotations"]["runbook"]
        # Then it is there, and it is that alert's
        assert page in pages, name
        assert page.endswith(f"#{name.lower()}"), name
    # And there is no page of an alert that is no more
    assert len(pages) == len({name for name, _ in wanted})


def test_alerts_say_what_is_wrong(render: Render) -> None:
    # Given each alert of a project
    for (name, severity), rule in alerts(render(GPU)).items():
        # When its labels and texts are read
        texts = rule["annotations"]
        # Then they say how bad it is, what it belongs to, what is wrong and where to read on
        assert severity in SEVERITIES, name
        assert rule["labels"].keys() == {"severity", "area"}, name
        assert texts.keys() == {"summary", "description", "runbook"}, name
        assert all(texts[part].endswith((".", "{{ end }}")) for part in texts if part != "runbook")
        # And it waits, or looks back for long, so that one bad moment is none
        assert "for" in rule or re.search(r"30m|1h|6h|10m", rule["expr"]), name
