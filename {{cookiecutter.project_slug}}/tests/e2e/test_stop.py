"""What a signal does to the running program, as in a rolling update."""

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Client, ConnectError, Response, TransportError

from tests.e2e.conftest import DRAIN, KEY, PATIENCE, SECRET_KEY, Program, Programs
from tests.e2e.patient import WAIT
from tests.helpers import STEP

UNFINISHED = 4


def chat(question: str, **fields: object) -> dict[str, Any]:
    """Return the keywords of a client's ``post`` or ``stream`` that ask the model."""
    messages = [{"role": "user", "content": question}]
    body = {"model": "default", "messages": messages, **fields}
    return {"url": "/v1/chat/completions", "json": body}


def text_of(response: Response) -> str:
    content: str = response.json()["choices"][0]["message"]["content"]
    return content


def status_of(client: Client) -> str:
    status: str = client.get("/ready").json()["status"]
    return status


def wait_for_file(file: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(STEP)


def wait_until_draining(client: Client) -> None:
    deadline = time.monotonic() + PATIENCE
    while status_of(client) != "draining":
        assert time.monotonic() < deadline
        time.sleep(STEP)


def wait_until_nobody_listens(program: Program) -> None:
    deadline = time.monotonic() + PATIENCE
    with program.client() as client:
        while time.monotonic() < deadline:
            try:
                client.get("/health")
            except ConnectError:
                return
            except TransportError:
                pass  # taken by the socket, but not by the server any more
            time.sleep(STEP)
    pytest.fail("it still listens")


def test_a_service_drains_and_finishes_what_it_has_begun(
    programs: Programs, tmp_path: Path
) -> None:
    # Given a service whose key is in a secret file, with a slow request and a stream on their way
    program, sign = programs.draining, tmp_path / "sign"
    with program.client(SECRET_KEY) as client, ThreadPoolExecutor() as pool:
        program.wait_until_ready(client)
        slow = pool.submit(client.post, **chat(f"{WAIT}{sign}"))
        wait_for_file(sign.with_suffix(".begun"))
        question = chat(f"{WAIT}{sign}", stream=True)
        with client.stream("POST", **question) as stream:
            lines = stream.iter_lines()
            begun = next(lines)
            # When the platform ends it
            started = time.monotonic()
            program.tell(signal.SIGTERM)
            wait_until_draining(client)
            # Then it is not ready long before it stops, yet it lives, and answers who comes
            assert client.get("/ready").status_code == 503
            assert client.get("/health").status_code == 200
            with program.client(SECRET_KEY) as newcomer:
                answer = newcomer.post(**chat("Hello?"))
                assert (answer.status_code, text_of(answer)) == (200, "first last")
                assert answer.headers["Connection"] == "close"
            assert not slow.done()
            # And after the drain nobody is let in
            wait_until_nobody_listens(program)
            assert time.monotonic() - started >= DRAIN
            assert not slow.done()
            # And what was on its way comes to its end
            sign.touch()
            rest = list(lines)
        assert (slow.result().status_code, text_of(slow.result())) == (200, "first last")
        events = [line.removeprefix("data: ") for line in [begun, *rest] if line]
        assert events.pop() == "[DONE]"
        deltas = [json.loads(event)["choices"][0]["delta"] for event in events]
        assert "".join(delta.get("content") or "" for delta in deltas) == "first last"
    status, log = program.end()
    assert status == 0
    assert '"event": "draining"' in log
    assert "Traceback" not in log
    assert SECRET_KEY not in log


def test_a_second_signal_ends_the_drain(programs: Programs, tmp_path: Path) -> None:
    # Given a service in a drain that would last, and work that never ends
    program, never = programs.told_twice, tmp_path / "never"
    with program.client() as client, ThreadPoolExecutor() as pool:
        program.wait_until_ready(client)
        slow = pool.submit(client.post, **chat(f"{WAIT}{never}"))
        wait_for_file(never.with_suffix(".begun"))
        program.tell(signal.SIGTERM)
        wait_until_draining(client)
        # When it is told again, Then it stops after the time for running requests, and says so
        status, log = program.stop()
        assert slow.exception() or slow.result().status_code >= 500
    assert status == UNFINISHED
    assert "work_unfinished" in log


def test_ctrl_c_waits_for_no_drain(programs: Programs) -> None:
    # Given a service with a drain that would last, on somebody's terminal
    program = programs.interrupted
    with program.client() as client:
        program.wait_until_ready(client)
        # When it is interrupted, Then it ends at once, and well
        status, log = program.stop(signal.SIGINT)
    assert status == 0
    assert "draining" not in log
    assert "Traceback" not in log


def test_a_secret_file_that_cannot_be_read_is_one_line(programs: Programs) -> None:
    # Given a secret of bytes that are no text, When started, Then the file is named, not its value
    status, message = programs.with_bad_secret.end()
    (line,) = message.splitlines()
    assert status == 78
    assert f"{programs.bad_secrets / 'API_KEYS'} cannot be read" in line
    assert KEY not in message
