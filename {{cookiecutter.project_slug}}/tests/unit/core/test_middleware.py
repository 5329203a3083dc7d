from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from app.core.exception_handlers import add_exception_handlers
from app.core.logger import bind_user, configure_logging
from app.core.middleware import REQUEST_ID_HEADER, BodyLimit, RequestLog
from tests.conftest import Logs, MakeSettings

MOST = 1024


@pytest.fixture
def echo(make_settings: MakeSettings, logs: Logs) -> Iterator[TestClient]:
    """Return a client of an application that has the middleware and answers with the size."""
    settings = make_settings(upload_max_bytes=MOST)
    configure_logging(settings)
    app = FastAPI()
    app.add_middleware(BodyLimit, most=MOST)
    app.add_middleware(RequestLog)
    add_exception_handlers(app, settings)

    @app.post("/size")
    async def size(request: Request) -> int:
        bind_user(request.scope, "kim")
        return len(await request.body())

    @app.get("/health")
    async def health() -> str:
        return "ok"

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("a bug")

    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("sent", ["abc-123_4.5", "x" * 64])
def test_a_plain_request_id_is_kept(echo: TestClient, sent: str) -> None:
    # Given an id that a proxy gave, When answered, Then it is in the answer
    response = echo.post("/size", headers={REQUEST_ID_HEADER: sent})
    assert response.headers[REQUEST_ID_HEADER] == sent


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", 'a"}\\n{"', "é"])
def test_any_other_request_id_is_replaced(echo: TestClient, sent: str) -> None:
    # Given an id that could forge a log line, or none
    response = echo.post("/size", headers={REQUEST_ID_HEADER.encode(): sent.encode()})
    # When answered, Then it has got one of our own
    assert len(response.headers[REQUEST_ID_HEADER]) == 32


def test_a_request_leaves_one_line(echo: TestClient, logs: Logs) -> None:
    # Given a request of a known user
    logs()
    response = echo.post("/size?key=secret", content=b"12345")
    # When it has ended
    (line,) = (line for line in logs() if line["event"] == "request")
    # Then the line has what the guideline asks for, and no query
    request = {"path": "/size", "method": "POST", "status_code": 200, "user_id": "kim"}
    assert line.items() >= request.items()
    assert line["request_id"] == response.headers[REQUEST_ID_HEADER]
    assert 0 <= line["latency"] < 5


def test_health_checks_leave_none(echo: TestClient, logs: Logs) -> None:
    # Given a check that comes every few seconds, When it has ended, Then nothing is written
    logs()
    echo.get("/health")
    assert [line for line in logs() if line["event"] == "request"] == []


def test_an_unexpected_error_has_its_request_id(echo: TestClient, logs: Logs) -> None:
    # Given a bug
    logs()
    response = echo.get("/bug")
    # When it has happened
    lines = {line["event"]: line for line in logs()}
    # Then the caller has the id that the message asks for, and the log has the trace under it
    assert response.status_code == 500
    assert response.json()["error_code"] == "INTERNAL"
    assert "a bug" not in response.text
    assert "RuntimeError: a bug" in lines["unexpected_error"]["exception"]
    assert lines["request"]["status_code"] == 500
    assert response.headers[REQUEST_ID_HEADER] == lines["unexpected_error"]["request_id"]


def chunks(size: int) -> Iterator[bytes]:
    yield from (b"x" * 100 for _ in range(size // 100))


@pytest.mark.parametrize("size", [MOST - 24, MOST])
def test_a_body_within_the_limit_passes(echo: TestClient, size: int) -> None:
    # Given a body that fits, with or without its length, When sent, Then all of it arrives
    assert echo.post("/size", content=b"x" * size).json() == size
    assert echo.post("/size", content=chunks(size)).json() == size // 100 * 100


@pytest.mark.parametrize("body", [b"x" * (MOST + 1), chunks(MOST + 100)])
def test_a_larger_body_is_refused(echo: TestClient, body: bytes | Iterator[bytes]) -> None:
    # Given a body that says, or turns out, to be larger
    response = echo.post("/size", content=body)
    # When sent, Then the answer is ours
    assert response.status_code == 413
    assert response.json()["error_code"] == "BODY_TOO_LARGE"
    assert str(MOST) in response.json()["message"]
