"""What holds for every route: who may call, from where, how much, and how errors look."""

import asyncio
import json

import pytest
from fastapi.testclient import TestClient

from app.core.errors import ErrorCode, ServiceError
from tests.conftest import KEY, USER, Logs, StartApp
from tests.doubles import Doubles
from tests.helpers import until

QUESTION = {"model": "default", "messages": [{"role": "user", "content": "안녕?"}]}
ROUTES = [
    ("GET", "/v1/models"),
    ("GET", "/v1/models/default"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/audio/speech"),
    ("POST", "/v1/audio/transcriptions"),
    ("POST", "/v1/audio/translations"),
    ("POST", "/api/chat"),
    ("POST", "/api/voice-chat"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("header", ["", "Bearer wrong", f"Basic {KEY}"])
def test_every_route_asks_for_a_key(
    client: TestClient, method: str, path: str, header: str
) -> None:
    # Given no key, or a wrong one
    client.headers["Authorization"] = header
    # When a route is called
    response = client.request(method, path)
    # Then it is refused, in the route's own form
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    if path.startswith("/v1/"):
        assert response.json()["error"]["code"] == "unauthorized"
    else:
        assert list(response.json()) == ["error_code", "message", "detail"]
        assert response.json()["error_code"] == "UNAUTHORIZED"


def test_a_development_machine_lets_everybody_in(start_app: StartApp, logs: Logs) -> None:
    # Given a service without keys, When called without one, Then it answers, and knows nobody
    client = start_app(api_keys="", auth_required=False)
    del client.headers["Authorization"]
    assert client.get("/v1/models").status_code == 200
    assert logs()[-1]["user_id"] == "anonymous"


def test_the_log_knows_the_caller_and_not_the_key(client: TestClient, logs: Logs) -> None:
    # Given a caller with a key, When a question is asked, Then the log has the caller's name alone
    client.post("/api/chat", json={"query": "안녕?"})
    lines = logs()
    assert {line["user_id"] for line in lines} == {USER}
    assert KEY not in json.dumps(lines)


def test_only_pages_on_the_list_may_call(start_app: StartApp) -> None:
    # Given one origin on the list
    client = start_app(cors_origins="https://a.example")
    # When a page of it asks, and one of another
    headers = {"Access-Control-Request-Method": "POST"}
    allowed, refused = (
        client.options("/api/chat", headers={"Origin": origin, **headers})
        for origin in ("https://a.example", "https://b.example")
    )
    # Then only the first may
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert "Access-Control-Allow-Origin" not in refused.headers


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "NOT_FOUND"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/static/tts/nothing.wav", 404, "NOT_FOUND"),
        ("DELETE", "/api/chat", 405, "METHOD_NOT_ALLOWED"),
        ("PUT", "/v1/models", 405, "method_not_allowed"),
    ],
)
def test_a_wrong_address_is_told_in_our_form(
    client: TestClient, method: str, path: str, status: int, code: str
) -> None:
    # Given an address or a method that is not here, When called, Then the form is ours all the same
    response = client.request(method, path)
    body = response.json()
    assert response.status_code == status
    assert body.get("error_code", body.get("error", {}).get("code")) == code


@pytest.mark.parametrize(
    ("path", "code"), [("/api/chat", "BODY_TOO_LARGE"), ("/v1/audio/speech", "")]
)
def test_a_body_that_is_too_large_is_refused(start_app: StartApp, path: str, code: str) -> None:
    # Given a limit, When more is sent, Then 413 in the route's own form
    client = start_app(upload_max_bytes=1024)
    response = client.post(path, json={"query": "가" * 1024})
    assert response.status_code == 413
    assert response.json().get("error_code", "") == code


def test_a_bug_is_no_stack_trace_to_the_caller(client: TestClient, doubles: Doubles) -> None:
    # Given an engine with a bug, When called, Then the caller has a sentence, OpenAI's type
    doubles.tts.error = KeyError("a bug")
    response = client.post("/v1/audio/speech", json={"model": "tts-1", "input": "안녕"})
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "server_error"
    assert "bug" not in response.text


@pytest.mark.parametrize("language", ["en", "ko"])
def test_messages_are_in_the_settings_language(
    start_app: StartApp, doubles: Doubles, language: str
) -> None:
    # Given a language, and an engine whose server is down
    client = start_app(message_language=language)
    error = ServiceError(ErrorCode.ENGINE_FAILED, task="LLM", detail="APITimeoutError")
    doubles.llm.error = error
    # When it is called, Then the sentence is in that language, with the detail for a developer
    response = client.post("/v1/chat/completions", json=QUESTION)
    assert response.status_code == 503
    assert response.json()["error"]["message"] == f"{error.message(language)} (APITimeoutError)"


def test_a_full_queue_is_told_at_once(start_app: StartApp, doubles: Doubles) -> None:
    # Given one worker that is busy, and one place to wait
    client = start_app(llm_queue=1)
    doubles.llm.open.clear()

    async def crowd() -> None:
        ask = [
            asyncio.create_task(
                asyncio.to_thread(client.post, "/v1/chat/completions", json=QUESTION)
            )
            for _ in range(4)
        ]
        # When more come than may wait
        await until(lambda: sum(task.done() for task in ask) == 2)
        doubles.llm.open.set()
        responses = await asyncio.gather(*ask)
        # Then they are told when to come again, and the others are served
        refused = [response for response in responses if response.status_code == 429]
        assert [response.status_code for response in responses].count(200) == 2
        assert len(refused) == 2
        for response in refused:
            assert int(response.headers["Retry-After"]) >= 1
            assert response.json()["error"]["code"] == "queue_full"

    asyncio.run(crowd())
