import asyncio
import os
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from fastapi.testclient import TestClient

from app.ai.devices import cpu
from app.ai.engines import Configuration
from app.application import create_app
from app.core.config import SettingsSource
from tests.conftest import Logs, MakeSettings, StartApp
from tests.doubles import Doubles, engine_module
from tests.helpers import PATIENCE, STEP


def test_health_and_readiness_need_no_key(client: TestClient) -> None:
    # Given a caller without a key
    del client.headers["Authorization"]
    # When the platform asks, Then it is told
    assert client.get("/health").json() == {"status": "ok", "version": "dev", "reason": None}
    assert client.get("/ready").json() == {
        "status": "ready",
        "version": "dev",
        "device": "cpu",
        "reason": None,
    }


def test_both_tell_the_release(start_app: StartApp) -> None:
    # Given a release, When the platform asks, Then it is told which one
    client = start_app(service_version="v1.2.3")
    assert [client.get(path).json()["version"] for path in ("/health", "/ready")] == ["v1.2.3"] * 2
    # And the description of the API knows it
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    for name in ("HealthResponse", "ReadyResponse"):
        assert "version" in schemas[name]["required"]
    assert "draining" in schemas["ReadyResponse"]["properties"]["status"]["enum"]


def test_an_engine_that_broke_is_told_until_it_works_again(
    client: TestClient, doubles: Doubles, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a voice that fails whatever it is given
    doubles.tts.error = RuntimeError("no voice")
    monkeypatch.setattr(doubles.tts, "warm_up", doubles.tts.note)
    # When it has failed once
    client.post("/v1/audio/speech", json={"model": "tts-1", "input": "안녕"})
    deadline = time.monotonic() + PATIENCE
    while (health := client.get("/health")).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(STEP)
    # Then the platform is told which engine it is
    assert health.json() == {
        "status": "broken",
        "version": "dev",
        "reason": "tts: no voice",
    }
    # When it works again, Then the service is sound
    doubles.tts.error = None
    assert client.post("/v1/audio/speech", json={"model": "tts-1", "input": "안녕"}).is_success
    assert client.get("/health").json()["status"] == "ok"


def test_it_is_alive_and_not_ready_while_it_loads(
    doubles: Doubles, make_settings: MakeSettings, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an engine that takes its time to load
    doubles.llm.open.clear()
    monkeypatch.setattr(doubles.llm, "warm_up", doubles.llm.note)
    app = create_app(doubles.configuration(make_settings(auth_required=False)), lambda: None)
    with TestClient(app) as client:
        # When it is asked
        ready, health = client.get("/ready"), client.get("/health")
        refused = client.post("/api/chat", json={"query": "안녕?"})
        # Then it lives, and says when to come again
        assert (ready.status_code, ready.json()["status"]) == (503, "loading")
        assert health.status_code == 200
        assert (refused.status_code, refused.json()["error_code"]) == (503, "NOT_READY")
        assert int(refused.headers["Retry-After"]) >= 1
        doubles.llm.open.set()


def test_an_engine_that_cannot_be_loaded_stops_the_server(
    make_settings: MakeSettings, logs: Logs
) -> None:
    # Given an engine without its weights
    stops: list[bool] = []
    modules = {"stt": engine_module(Mock(side_effect=FileNotFoundError("no weights\nor so")))}
    configuration = Configuration(make_settings(), modules, {"stt": SettingsSource()}, cpu)
    with TestClient(create_app(configuration, lambda: stops.append(True))) as client:
        deadline = time.monotonic() + PATIENCE
        while not stops and time.monotonic() < deadline:
            time.sleep(STEP)
        # When it is asked, Then it says why
        answer = client.get("/ready").json()
    assert answer["status"] == "failed"
    assert "no weights" in answer["reason"]
    # And the log has one line about it, without a stack trace
    (line,) = (line for line in logs() if line["level"] == "error")
    assert (line["event"], line["reason"]) == ("engine_load_failed", answer["reason"])
    assert "exception" not in line


def test_health_answers_while_an_engine_is_busy(start_app: StartApp, doubles: Doubles) -> None:
    # Given a model that is thinking
    client = start_app()
    doubles.llm.open.clear()

    async def both() -> None:
        asked = asyncio.to_thread(client.post, "/api/chat", json={"query": "안녕?"})
        answer = asyncio.create_task(asked)
        while not doubles.llm.calls:  # noqa: ASYNC110 - another thread's doing
            await asyncio.sleep(STEP)
        # When the platform asks, Then it is answered at once
        assert (await asyncio.to_thread(client.get, "/health")).status_code == 200
        assert not answer.done()
        doubles.llm.open.set()
        assert (await answer).status_code == 200

    asyncio.run(both())


def test_old_answers_are_deleted_at_the_start(static_dir: Path, start_app: StartApp) -> None:
    # Given an answer from long ago
    old = static_dir / "tts" / "old.wav"
    old.parent.mkdir(exist_ok=True)
    old.touch()
    os.utime(old, (0, 0))
    # When the service starts
    start_app()
    # Then it goes
    deadline = time.monotonic() + PATIENCE
    while old.exists():
        assert time.monotonic() < deadline
        time.sleep(STEP)
