import io
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest
from httpx2 import Client, ConnectError

from app.application import create_app
from app.core.config import SettingsError
from app.core.drain import Drain
from app.server import Server
from app.start_up import bind
from tests.conftest import Logs, MakeSettings
from tests.doubles import Doubles
from tests.helpers import PATIENCE, STEP

LONG = 600.0
"""A drain that no test waits for."""


@dataclass
class Running:
    """A server on a port of its own, in a thread, and a client that keeps its connection."""

    server: Server
    thread: threading.Thread
    client: Client
    drain: Drain

    def receive(self, number: int) -> None:
        """Do what the server does at a signal."""
        self.server.handle_exit(number, None)

    def ready(self) -> tuple[int, str]:
        answer = self.client.get("/ready")
        return answer.status_code, answer.json()["status"]

    def ended(self) -> bool:
        """Return whether it has stopped, after it has had time to."""
        self.thread.join(PATIENCE)
        return not self.thread.is_alive()


Serve = Callable[..., Running]


@contextmanager
def running(server: Server, listener: socket.socket, drain: Drain) -> Iterator[Running]:
    """Run a server until the block ends."""
    address = "http://{}:{}".format(*listener.getsockname())
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    with Client(base_url=address, timeout=PATIENCE) as client:
        yield Running(server, thread, client, drain)
    server.should_exit = True
    thread.join()


@pytest.fixture
def serve(make_settings: MakeSettings, doubles: Doubles, logs: Logs) -> Iterator[Serve]:
    """Start the service with doubles; it is ready unless it is told to load for ever."""
    with ExitStack() as stack:

        def start(loads: bool = True, **changes: object) -> Running:
            if not loads:
                doubles.llm.open.clear()
                stack.callback(doubles.llm.open.set)
                doubles.llm.warm_up = doubles.llm.note  # type: ignore[method-assign]
            settings = make_settings(auth_required=False, **changes)
            app = create_app(doubles.configuration(settings), lambda: None)
            listener = bind(settings.model_copy(update={"port": 0}))
            drain: Drain = app.state.services.drain
            it = stack.enter_context(running(Server(app), listener, drain))
            until(lambda: it.server.started)
            until(lambda: it.ready() == ((200, "ready") if loads else (503, "loading")))
            return it

        yield start


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(STEP)


def test_a_service_that_drains_is_not_ready_and_answers_on(
    serve: Serve, stderr: io.StringIO
) -> None:
    # Given a service that is ready
    it = serve(drain_seconds=LONG, service_version="v1.2.3")
    assert "Connection" not in it.client.get("/health").headers
    # When SIGTERM comes
    it.receive(signal.SIGTERM)
    # Then it is not ready at once, and says why
    ready = it.client.get("/ready")
    assert (ready.status_code, ready.json()) == (
        503,
        {"status": "draining", "version": "v1.2.3", "device": "cpu", "reason": None},
    )
    # And it is alive, and answers who comes, each for the last time on this connection
    health = it.client.get("/health")
    answer = it.client.post("/api/chat", json={"query": "들려요?"})
    missing = it.client.get("/nothing")
    assert [r.status_code for r in (health, answer, missing)] == [200, 200, 404]
    for response in (ready, health, answer, missing):
        assert response.headers["Connection"] == "close"
    # And the log says so, once
    until(lambda: "draining" in stderr.getvalue())
    time.sleep(0.3)  # uvicorn's next ticks
    lines = [json.loads(line) for line in stderr.getvalue().splitlines()]
    assert [line["seconds"] for line in lines if line["event"] == "draining"] == [LONG]


def test_a_drain_has_its_time_and_no_more(serve: Serve) -> None:
    # Given a short drain
    it = serve(drain_seconds=0.4)
    started = time.monotonic()
    # When SIGTERM comes, Then the server stops after it, by itself
    it.receive(signal.SIGTERM)
    assert it.ended()
    assert time.monotonic() - started >= 0.4
    with pytest.raises(ConnectError):
        it.client.get("/ready")


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_drain(serve: Serve, second: int) -> None:
    # Given a drain that would last
    it = serve(drain_seconds=LONG)
    it.receive(signal.SIGTERM)
    assert it.ready() == (503, "draining")
    # When a second signal comes, Then the server stops
    it.receive(second)
    assert it.ended()


@pytest.mark.parametrize(
    ("number", "settings"),
    [
        (signal.SIGINT, {"drain_seconds": LONG}),
        (signal.SIGTERM, {"drain_seconds": LONG, "loads": False}),
        (signal.SIGTERM, {}),
    ],
    ids=["Ctrl-C", "nobody is sent to it yet", "no drain is set"],
)
def test_some_stops_need_no_drain(serve: Serve, number: int, settings: dict[str, object]) -> None:
    # Given a stop that no proxy has to hear of
    it = serve(**settings)
    # When the signal comes, Then the server stops at once
    it.receive(number)
    assert it.ended()


def test_a_signal_before_the_server_runs_is_not_lost(
    make_settings: MakeSettings, doubles: Doubles, logs: Logs
) -> None:
    # Given a server that is about to run
    settings = make_settings(drain_seconds=LONG)
    app = create_app(doubles.configuration(settings), lambda: None)
    server = Server(app)
    # When the signal comes first, Then running it is soon done
    server.handle_exit(signal.SIGTERM, None)
    listener = bind(settings.model_copy(update={"port": 0}))
    with running(server, listener, app.state.services.drain) as it:
        assert it.ended()


def test_a_request_that_outlasts_the_drain_has_its_answer(serve: Serve, doubles: Doubles) -> None:
    # Given a model that is thinking when SIGTERM comes
    it = serve(drain_seconds=0.1)
    doubles.llm.open.clear()
    answers: list[str] = []

    def ask() -> None:
        with Client(base_url=it.client.base_url, timeout=PATIENCE) as client:
            answers.append(client.post("/api/chat", json={"query": "들려요?"}).json()["answer"])

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: doubles.llm.calls)
    it.receive(signal.SIGTERM)
    until(lambda: it.drain.over and it.server.should_exit)
    # When it has thought, long after
    time.sleep(0.3)
    assert it.thread.is_alive()
    doubles.llm.open.set()
    # Then the answer is there, and the server ends
    asking.join(PATIENCE)
    assert answers == ["네, 잘 들립니다."]
    assert it.ended()


@pytest.mark.parametrize("seconds", ["-1", "nan", "soon"])
def test_a_drain_that_is_no_time_is_refused(
    make_settings: MakeSettings, seconds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a drain that is none, When the settings are read, Then it is named
    monkeypatch.setenv("DRAIN_SECONDS", seconds)
    with pytest.raises(SettingsError, match="DRAIN_SECONDS"):
        make_settings()
