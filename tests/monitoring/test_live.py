"""Two replicas of a service, with trained weights, watched by a real Prometheus and Alertmanager.

What goes wrong here really does; the alert is seen to fire and to resolve at a web hook.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Render
from tests.monitoring.expressions import documented, metrics_of
from tests.monitoring.live import Monitoring, monitoring
from tests.monitoring.programs import Programs
from tools.service_process import Service, ServiceError, free_port, running

pytestmark = pytest.mark.service
ANSWERS = {
    "stt_engine": "faster-whisper",
    "llm_engine": "openai-compatible",
    "tts_engine": "espeak-ng",
    "spoken_language": "en",
}
SPEECH = {"model": "tts-1", "input": "One, two, three.", "voice": "auto"}
# Of the proxy, the probe and the release tool.
OTHERS = ("haproxy_", "probe_", "release_event")
PHONE, RESIDENT, SECRET = "010-9876-5432", "880101-2345678", "canary-of-a-key-4711"
HOSTILE = 10_000


@dataclass
class Watched:
    """Two replicas and what watches them."""

    services: list[Service]
    monitoring: Monitoring
    voice: Path
    """The program that speaks for both; without it, their engine is broken."""
    settings: dict[str, str]
    """Of both replicas."""


@pytest.fixture(scope="module")
def project(render: Render) -> Path:
    """Return the project that is watched."""
    return render({**ANSWERS, "project_slug": "watched"})


@pytest.fixture(scope="module")
def watched(
    project: Path,
    every_engine: Path,
    weights: Path,
    programs: Programs,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Watched]:
    """Return two replicas with their monitoring; the language model's server is not there."""
    folder = tmp_path_factory.mktemp("watched")
    voice = folder / "bin" / "espeak-ng"
    voice.parent.mkdir()
    voice.symlink_to(shutil.which("espeak-ng") or "")
    others = [one for one in os.environ["PATH"].split(":") if not Path(one, voice.name).exists()]
    programs_of = folder / "programs"  # all that its other folders have, but the voice
    programs_of.mkdir()
    (programs_of / "ffmpeg").symlink_to(shutil.which("ffmpeg") or "")
    settings = {
        "STT_MODEL": str(weights / "whisper-base-ct2"),
        "LLM_BASE_URL": f"http://127.0.0.1:{free_port()}/v1",
        "API_KEYS": f"tester:key-of-a-test,other:{SECRET}",
        "PATH": ":".join([str(voice.parent), str(programs_of), *others]),
        "TTS_QUEUE": "2",
        "REPLICAS": "2",
        "SERVICE_VERSION": "v1.0.0",
        "LOG_LEVEL": "debug",
    }
    with ExitStack() as stack:
        logs = [folder / f"service-{number}.log" for number in range(2)]
        services = [
            stack.enter_context(mortal(project, every_engine, settings, log)) for log in logs
        ]
        places = [service.metrics for service in services]
        seen = stack.enter_context(monitoring(programs, project, places, folder))
        yield Watched(services, seen, voice, settings)


@contextmanager
def mortal(project: Path, python: Path, settings: dict[str, str], log: Path) -> Iterator[Service]:
    """Run a service that a test may kill."""
    try:
        with running(project, python, settings, log) as service:
            yield service
    except ServiceError as error:
        if f"ended with {-signal.SIGKILL}" not in str(error):
            raise


def speak(service: Service) -> int:
    """Have a text spoken; return the status."""
    key = {"Authorization": f"Bearer {service.key}"}
    return httpx2.post(f"{service.url}/v1/audio/speech", json=SPEECH, headers=key).status_code


def exposed(service: Service) -> str:
    """Return what Prometheus reads."""
    return httpx2.get(f"http://{service.metrics}/metrics").raise_for_status().text


def until(condition: object, seconds: float = 60) -> None:
    """Wait until a call returns something true."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_metrics_follow_the_conventions(watched: Watched, programs: Programs) -> None:
    # Given what a service tells, When Prometheus's own tool looks at it, Then it has no complaint
    text = exposed(watched.services[0])
    done = subprocess.run(
        [programs.promtool, "check", "metrics"], input=text, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_no_metric_is_unused_and_none_undefined(watched: Watched, project: Path) -> None:
    # Given every metric that a service tells
    told = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in text_string_to_metric_families(exposed(watched.services[0]))
    }
    # When they are held against rules, alerts and dashboards
    named = {name for names in metrics_of(project).values() for name in names}
    named = {name for name in named if not name.startswith(OTHERS)}
    # Then each is used, and each that is used is told
    assert (told - named, named - told) == (set(), set())
    # And the document describes the same ones
    assert {name for name in documented(project) if not name.startswith(OTHERS)} == told


def test_nothing_fires_while_all_is_well(watched: Watched) -> None:
    # Given two replicas that are asked and answer
    until(lambda: len(watched.monitoring.query('up{job="service"} == 1')) == 2)
    for _ in range(20):
        assert {speak(service) for service in watched.services} == {200}
    # When Prometheus has looked for as long as the alerts wait, Then none fires
    time.sleep(12)
    machines = {"DiskFilling"}  # the disk is this machine's, and others write to it
    assert watched.monitoring.firing() - machines == set()


def test_a_broken_engine_is_told_until_it_is_mended(watched: Watched) -> None:
    # Given a replica whose voice is gone
    service, hook = watched.services[0], watched.monitoring.hook
    target = watched.voice.readlink()
    watched.voice.unlink()
    # When it is asked to speak
    assert speak(service) == 503
    # Then the engine is told to be broken, at the web hook and by mail
    hook.wait_for("EngineBroken", "firing")
    watched.monitoring.mailbox.wait_for("EngineBroken")
    # And when it is there again and has spoken, that is told too
    watched.voice.symlink_to(target)
    assert speak(service) == 200
    hook.wait_for("EngineBroken", "resolved")


def test_errors_are_told_until_they_end(watched: Watched) -> None:
    # Given callers who ask a language model whose server is away
    hook = watched.monitoring.hook
    key = {"Authorization": f"Bearer {watched.services[0].key}"}
    question = {"model": "default", "messages": [{"role": "user", "content": "Hello"}]}

    def ask(service: Service) -> None:
        url = f"{service.url}/v1/chat/completions"
        assert httpx2.post(url, json=question, headers=key, timeout=30).status_code == 503

    # When they ask again and again
    def told() -> bool:
        for service in watched.services:
            ask(service)
        return ("ErrorBudgetBurn", "firing") in hook.told

    # Then it is told that the budget of errors burns
    until(told, 90)

    # And when callers are answered again, that it does not
    def over() -> bool:
        for service in watched.services:
            assert speak(service) == 200
        return ("ErrorBudgetBurn", "resolved") in hook.told

    until(over, 90)


def test_overload_is_told_until_it_ends(watched: Watched) -> None:
    # Given more callers than a replica can queue
    service, hook = watched.services[0], watched.monitoring.hook
    with ThreadPoolExecutor(16) as pool:
        statuses: set[int] = set()

        # When they go on calling, Then some are refused, and that is told
        def told() -> bool:
            statuses.update(pool.map(speak, [service] * 32))
            return ("QueueFull", "firing") in hook.told

        until(told, 90)
    assert statuses == {200, 429}
    # And when they have gone, that it is over
    hook.wait_for("QueueFull", "resolved")


def test_ten_thousand_hostile_requests_add_no_series(watched: Watched) -> None:
    # Given a service that has met each kind of hostile request once
    service = watched.services[0]
    methods = ("GET", "POST", "PUT", "BREW", "X" * 40)

    def attack(number: int) -> int:
        path = (f"/{number}", f"/v1/models/{number}", f"/static/tts/{number}.wav", f"/api/{number}")
        headers = {"X-Request-ID": f"id-{number}", "User-Agent": f"agent-{number}"}
        with_query = f"{service.url}{path[number % 4]}?user={number}"
        return client.request(methods[number % 5], with_query, headers=headers).status_code

    with httpx2.Client(limits=httpx2.Limits(max_connections=8)) as client:
        for number in range(20):
            attack(number)
        before = len(exposed(service).splitlines())
        # When ten thousand come
        with ThreadPoolExecutor(8) as pool:
            statuses = set(pool.map(attack, range(HOSTILE)))
    # Then each is refused, and there is no series more than before
    assert statuses <= {401, 404, 405}
    assert len(exposed(service).splitlines()) == before
    assert before < 1000


def test_logs_have_their_form_and_hold_nobodys_numbers(watched: Watched, project: Path) -> None:
    # Given callers who put numbers of persons and a key wherever they can
    service = watched.services[0]
    hidden = f"{PHONE} {RESIDENT} {SECRET}"
    key = {"Authorization": f"Bearer {SECRET}"}
    sound = (project / "tests/data/speech.wav").read_bytes()
    with httpx2.Client(base_url=service.url, headers=key, timeout=60) as client:
        answers = [
            client.post("/api/chat", json={"query": f"My number is {hidden}"}),
            client.post("/api/voice-chat", files={"file": (f"{PHONE}.wav", sound)}),
            client.get("/v1/models", params={"phone": PHONE, "key": SECRET}),
            client.get(f"/nothing/{RESIDENT}/{SECRET}", headers={"X-Request-ID": PHONE}),
            client.get(f"/v1/models/{PHONE}"),
            client.post("/v1/audio/speech", json={**SPEECH, "model": RESIDENT}),
            client.post(
                "/v1/audio/transcriptions",
                data={"model": "whisper-1", "language": PHONE[:8]},
                files={"file": sound},
            ),
            client.post("/v1/chat/completions", json={"model": "default", "messages": hidden}),
            client.get("/v1/models", headers={"Authorization": f"Bearer wrong-{SECRET}"}),
            client.request(f"M{SECRET}", "/"),
        ]
    # When logs, metrics and errors are searched
    log = service.log.read_text("utf-8")
    refused = [answer.text for answer in answers if answer.status_code >= 400]
    told = {"log": log, "metrics": exposed(service), "errors": "\n".join(refused)}
    # Then none of it is there
    assert len(refused) >= 7
    for where, text in told.items():
        for secret in (PHONE, RESIDENT, SECRET):
            assert secret not in text, f"{secret} in the {where}"
    # And every line has the form that its schema tells
    schema = json.loads((project / "docs/log-line.schema.json").read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    lines = [json.loads(line) for line in log.splitlines()]
    for line in lines:
        validator.validate(line)
    events = {line["event"] for line in lines}
    assert {"request", "voice_request", "engine_loaded", "request_refused"} <= events
    assert any(line["logger"].startswith("uvicorn") for line in lines)


def test_a_killed_replica_is_told_until_there_is_another(
    watched: Watched, project: Path, every_engine: Path
) -> None:
    # Given two replicas, When one is killed
    victim, hook = watched.services[1], watched.monitoring.hook
    os.kill(victim.pid, signal.SIGKILL)
    # Then it is told that one is missing
    hook.wait_for("ReplicaMissing", "firing")
    # And when another one is there in its place, that it is not
    ports = {
        "PORT": victim.url.rpartition(":")[2],
        "METRICS_PORT": victim.metrics.partition(":")[2],
    }
    log = victim.log.with_name("another.log")
    with running(project, every_engine, watched.settings | ports, log):
        hook.wait_for("ReplicaMissing", "resolved")
