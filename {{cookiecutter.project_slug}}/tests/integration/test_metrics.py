from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from app.core import metrics
from tests.conftest import StartApp
from tests.doubles import Doubles
from tests.helpers import tone, values_of, wav

Grown = Callable[[], dict[tuple[str, ...], float]]
CHAT = {"query": "안녕하세요"}
SPEECH = {"model": "tts-1", "input": "안녕하세요. 반갑습니다."}


@pytest.fixture
def grown() -> Grown:
    """Return by how much each series has grown since the test began."""
    before = values_of(metrics.REGISTRY.collect())

    def read() -> dict[tuple[str, ...], float]:
        now = values_of(metrics.REGISTRY.collect())
        return {
            key: value - before.get(key, 0.0)
            for key, value in now.items()
            if value != before.get(key, 0.0)
        }

    return read


def test_a_spoken_question_is_measured_step_by_step(client: TestClient, grown: Grown) -> None:
    # Given a recording of 1.5 s, When it is answered
    reply = client.post("/api/voice-chat", files={"file": wav(tone(1.5))})
    assert reply.status_code == 200
    # Then the request is counted and timed under its route
    found = grown()
    assert found["http_requests_total", "/api/voice-chat", "POST", "200"] == 1
    assert found["http_request_duration_seconds_count", "/api/voice-chat"] == 1
    # And so is each engine's work, with the length of the sounds
    for task in metrics.TASKS:
        assert found["engine_job_duration_seconds_count", task] == 1
        assert found["queue_wait_seconds_count", task] == 1
    assert found["audio_seconds_total", "stt"] == pytest.approx(1.5)
    assert found["audio_seconds_total", "tts"] == pytest.approx(0.1)
    assert found["llm_tokens_total", "prompt"] == 12
    assert found["llm_tokens_total", "completion"] == 3
    assert found["llm_first_token_seconds_count",] == 1
    assert found["first_audio_seconds_count",] == 1
    # And nothing went wrong
    assert not [key for key in found if key[0] in {"errors_total", "degraded_answers_total"}]


def test_no_caller_can_add_a_series(client: TestClient, grown: Grown) -> None:
    # Given callers who ask for what is not there, by names and methods of their own
    client.get("/nothing")
    client.get("/v1/models/no-such-model")
    known = grown().keys()
    # When they go on
    for number in range(200):
        client.get(f"/nothing-{number}?user=kim{number}")
        client.get(f"/v1/models/model-{number}")
        client.request(f"METHOD{number}", "/")
        client.get("/static/tts/none.wav", headers={"X-Request-ID": f"id-{number}"})
    # Then no series has come for any of them: there is one for all unknown methods and paths
    added = {key for key in grown().keys() - known if key[0] == "http_requests_total"}
    assert added == {
        ("http_requests_total", "/", "other", "405"),
        ("http_requests_total", "/static", "GET", "404"),
    }


def test_an_error_is_counted_by_its_code(
    client: TestClient, doubles: Doubles, grown: Grown
) -> None:
    # Given a model and a voice that are down
    doubles.llm.error = doubles.tts.error = RuntimeError("down")
    # When callers ask
    client.post("/api/chat", json=CHAT)
    client.post("/api/voice-chat", files={"file": wav(tone())})
    client.post("/v1/audio/speech", json=SPEECH)
    client.get("/nothing")
    # Then what they were told is counted by its code, what they were not told as degraded
    found = grown()
    assert found["errors_total", "NOT_FOUND"] == 1
    assert found["degraded_answers_total", "llm"] == 2
    assert found["degraded_answers_total", "tts"] == 1
    assert found["engine_failures_total", "llm"] == 2
    assert found["engine_failures_total", "tts"] == 2
    assert found["http_requests_total", "/v1/audio/speech", "POST", "500"] == 1


def test_without_a_port_requests_are_not_measured(start_app: StartApp, grown: Grown) -> None:
    # Given a service whose metrics nobody reads
    client = start_app(metrics_port=0)
    # When asked, Then the middleware is not there
    client.get("/health")
    assert not [key for key in grown() if key[0].startswith("http_request")]


def test_no_key_opens_them_at_the_public_port(client: TestClient) -> None:
    # Given the port that callers reach, When asked for metrics, Then there are none
    assert client.get("/metrics").status_code == 404
