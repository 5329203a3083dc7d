import sys
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app import healthcheck
from tests.helpers import serving


async def sound(_request: object) -> PlainTextResponse:
    return PlainTextResponse("ok")


async def broken(_request: object) -> PlainTextResponse:
    return PlainTextResponse("tts: no voice", status_code=503)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Return the port of a server that is alive and not ready."""
    app = Starlette(routes=[Route("/health", sound), Route("/ready", broken)])
    with serving(app) as address:
        yield int(address.rpartition(":")[2])


@pytest.mark.parametrize(
    ("arguments", "status", "printed"),
    [([], 0, ""), (["/ready"], 1, "/ready: 503 tts: no voice\n")],
)
def test_the_answer_is_the_exit_status(
    port: int,
    arguments: list[str],
    status: int,
    printed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Given a running service
    monkeypatch.setenv("PORT", str(port))
    monkeypatch.setattr(sys, "argv", ["healthcheck", *arguments])
    # When it is asked, Then the exit status tells, and a failure has its reason
    assert healthcheck.main() == status
    assert capsys.readouterr().out == printed


def test_a_proxy_of_the_environment_is_not_asked(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a proxy, as a company's network has one
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    # When the service is asked, Then it answers itself
    assert healthcheck.check("/health", str(port)) is None


def test_a_port_that_is_none_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given nonsense, When asked, Then the reason is a line
    assert healthcheck.check("/health", "abc")


def test_a_service_that_is_not_there_is_no_stack_trace() -> None:
    # Given a port where nobody listens, When asked, Then the reason is a line
    assert "refused" in str(healthcheck.check("/health", "1"))
