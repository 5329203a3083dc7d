import io
import logging

import pytest
import structlog

from app.core.logger import bind_user, configure_logging, get_logger
from app.utils.masking import MASK
from tests.conftest import KEY, Logs, MakeSettings


@pytest.fixture
def log(logs: Logs, make_settings: MakeSettings) -> structlog.stdlib.BoundLogger:
    configure_logging(make_settings())
    return structlog.stdlib.get_logger("app.test")


def test_an_event_is_one_json_line(log: structlog.stdlib.BoundLogger, logs: Logs) -> None:
    # Given a request with an id and a user
    scope: dict[str, object] = {}
    structlog.contextvars.bind_contextvars(request_id="r-1")
    bind_user(scope, "kim")
    # When something is logged, with a line break and Korean in it
    log.info("질문\n답변", seconds=1.5)
    # Then it is one line, with the context
    (line,) = logs()
    expected = {"event": "질문\n답변", "level": "info", "logger": "app.test", "seconds": 1.5}
    assert line.items() >= {**expected, "request_id": "r-1", "user_id": "kim"}.items()
    assert line["timestamp"].endswith("Z")
    assert scope == {"state": {"user_id": "kim"}}


def test_korean_is_written_as_it_is(log: structlog.stdlib.BoundLogger, stderr: io.StringIO) -> None:
    # Given a Korean event, When logged, Then people can read it, without \u
    log.info("안녕하세요")
    assert "안녕하세요" in stderr.getvalue()


def test_secrets_are_hidden_however_deep(log: structlog.stdlib.BoundLogger, logs: Logs) -> None:
    # Given secrets by name, by value and by form
    values = {"headers": [{"Authorization": "x", "note": f"key {KEY}"}], "phone": "010-1234-5678"}
    # When they are logged, one in an exception
    error = ValueError(f"bad key {KEY}")
    log.error("failed", api_key="x", max_tokens=5, exc_info=error, **values)
    # Then none is left, and what is no secret is
    (line,) = logs()
    assert line["api_key"] == MASK
    assert line["headers"] == [{"Authorization": MASK, "note": f"key {MASK}"}]
    assert line["phone"] == MASK
    assert line["max_tokens"] == 5
    assert f"bad key {MASK}" in line["exception"]


def test_other_loggers_write_the_same_form(log: structlog.stdlib.BoundLogger, logs: Logs) -> None:
    # Given uvicorn's own logger
    message = "Uvicorn running with %s"
    # When it writes its way, with a second form for terminals
    logging.getLogger("uvicorn.error").info(message, KEY, extra={"color_message": message})
    # Then the line is as ours, and masked
    (line,) = logs()
    assert line["event"] == f"Uvicorn running with {MASK}"
    assert (line["level"], line["logger"]) == ("info", "uvicorn.error")
    assert "color_message" not in line


def test_the_level_is_the_settings(logs: Logs, make_settings: MakeSettings) -> None:
    # Given that only errors are wanted
    configure_logging(make_settings(log_level="error"))
    # When something lesser is logged, Then nothing is written
    get_logger("app.quiet").warning("unimportant")
    assert logs() == []


def test_a_terminal_gets_readable_lines(make_settings: MakeSettings, stderr: io.StringIO) -> None:
    # Given a development machine
    configure_logging(make_settings(log_format="console"))
    # When something is logged
    get_logger("app.console").info("started", port=8000)
    # Then it is no JSON
    written = stderr.getvalue()
    assert "started" in written
    assert not written.startswith("{")
