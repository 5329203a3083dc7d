"""The smoke test's own logic; the real one is part of every release."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deploy import smoke

KEYS = "default:one,smoke:two"


@contextmanager
def service(version: str, heard: str, keys: list[str]) -> Iterator[str]:
    """Run a service that says a version and hears a text; it notes the keys."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

        def answer(self, content: dict[str, str]) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.answer({"version": version})

        def do_POST(self) -> None:
            keys.append(self.headers["Authorization"])
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer({"text": heard})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "PAUSE", 0.0)
    monkeypatch.delenv("http_proxy", raising=False)


def test_a_service_that_answers_passes() -> None:
    # Given a service of the right version that hears something
    keys: list[str] = []
    with service("v1.0.0", "hello", keys) as url:
        # When it is tested, Then it passes, and the key named smoke was used
        assert smoke.smoke_test(url, "v1.0.0", KEYS) is None
    assert keys == ["Bearer two"]


def test_another_version_fails() -> None:
    # Given a service of another version, When it is tested, Then the reason is told
    with service("v0.9.0", "hello", []) as url:
        reason = smoke.smoke_test(url, "v1.0.0", KEYS)
        assert reason == f"{url} says it is version 'v0.9.0', not 'v1.0.0'."


def test_a_deaf_service_fails() -> None:
    # Given a service that hears nothing, When it is tested, Then the reason is told
    with service("v1.0.0", "", []) as url:
        assert smoke.smoke_test(url, "v1.0.0", KEYS) == f"{url} heard nothing in speech.wav."


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "voice.example.com", "file:///etc/passwd"])
def test_a_service_that_cannot_be_reached_fails(url: str) -> None:
    # Given no service, When it is tested, Then the reason names the address
    reason = smoke.smoke_test(url, "v1.0.0", KEYS)
    assert reason is not None
    assert reason.startswith(f"{url}: ")
