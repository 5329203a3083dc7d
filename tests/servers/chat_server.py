"""A language-model server in OpenAI's form, for tests of what lies above it: it writes numbers.

    python chat_server.py [--host ADDRESS] [--port N]

An answer is ``0 1 2 3 ...``, one number a token, so that a reader sees whether a token is missing,
twice or out of order. It answers POST /v1/chat/completions (``stream``, ``max_tokens``),
GET /v1/models, GET /health and GET /ready, and takes its settings from the environment:

    TOKENS         how many an answer has (40)
    TOKEN_SECONDS  from one token to the next (0.05)
    API_KEY        what callers must have (nothing)
    VERSION        what /health and /ready tell (dev)
    DRAIN_SECONDS  how long it serves on after SIGTERM, not ready any more (5)

After that it ends as soon as the last answer that was begun is complete. Standard library only.
"""

import argparse
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "numbers"
TOKENS = int(os.environ.get("TOKENS", "40"))
TOKEN_SECONDS = float(os.environ.get("TOKEN_SECONDS", "0.05"))
API_KEY = os.environ.get("API_KEY", "")
VERSION = os.environ.get("VERSION", "dev")
DRAIN_SECONDS = float(os.environ.get("DRAIN_SECONDS", "5"))


class Server(ThreadingHTTPServer):
    """A server that ends without cutting an answer."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, Handler)
        self.draining = False
        self.running = 0
        self.changed = threading.Condition()

    def drain(self) -> None:
        """Serve on for a while without being ready, end when nothing runs any more."""
        self.draining = True
        time.sleep(DRAIN_SECONDS)
        with self.changed:
            self.changed.wait_for(lambda: self.running == 0)
        self.shutdown()


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        """Answer a request."""
        self.count(self.look)

    def do_POST(self) -> None:
        """Answer a request."""
        self.count(self.chat)

    def count(self, answer: Any) -> None:
        """Answer, and have the server wait for the end."""
        with self.server.changed:
            self.server.running += 1
        try:
            self.close_connection = self.close_connection or self.server.draining
            answer()
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the caller is gone
        finally:
            with self.server.changed:
                self.server.running -= 1
                self.server.changed.notify_all()

    def look(self) -> None:
        """Answer a GET."""
        if self.path == "/health":
            self.answer(200, {"status": "ok", "version": VERSION})
        elif self.path == "/ready":
            status = "draining" if self.server.draining else "ready"
            code = 503 if self.server.draining else 200
            self.answer(code, {"status": status, "version": VERSION})
        elif self.path == "/v1/models":
            model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "tests"}
            self.answer(200, {"object": "list", "data": [model]})
        else:
            self.refuse(404, f"There is nothing at {self.path}")

    def chat(self) -> None:
        """Answer a POST."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path != "/v1/chat/completions":
            self.refuse(404, f"There is nothing at {self.path}")
            return
        if API_KEY and self.headers["Authorization"] != f"Bearer {API_KEY}":
            self.refuse(401, "Incorrect API key provided")
            return
        try:
            request = json.loads(body)
            most = request.get("max_completion_tokens") or request.get("max_tokens") or TOKENS
            count = min(int(most), TOKENS)
        except (ValueError, TypeError, AttributeError):
            self.refuse(400, "The body is no JSON object of a chat request")
            return
        reason = "stop" if count == TOKENS else "length"
        if request.get("stream"):
            self.stream(count, reason)
        else:
            text = "".join(tokens(count))
            choice = {"index": 0, "message": {"role": "assistant", "content": text}}
            completion = completion_of("chat.completion", [{**choice, "finish_reason": reason}])
            self.answer(200, {**completion, "usage": usage_of(count)})

    def stream(self, count: int, reason: str) -> None:
        """Send an answer as events."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for token in tokens(count):
            self.event(chunk_of({"role": "assistant", "content": token}, None))
        self.event({**chunk_of({}, reason), "usage": usage_of(count)})
        self.piece(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def event(self, content: dict[str, Any]) -> None:
        """Send an event."""
        self.piece(f"data: {json.dumps(content)}\n\n".encode())

    def piece(self, content: bytes) -> None:
        """Send a chunk of a body."""
        self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))

    def refuse(self, code: int, message: str) -> None:
        """Answer with an error in OpenAI's form."""
        self.answer(code, {"error": {"message": message, "type": "invalid_request_error"}})

    def answer(self, code: int, content: dict[str, Any]) -> None:
        """Send an answer."""
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def tokens(count: int) -> Iterator[str]:
    """Yield the tokens of an answer at their pace."""
    for number in range(count):
        time.sleep(TOKEN_SECONDS)
        yield f"{number} "


def completion_of(kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": "numbers", "object": kind, "created": 0, "model": MODEL, "choices": choices}


def chunk_of(delta: dict[str, str], reason: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return completion_of("chat.completion.chunk", [choice])


def usage_of(count: int) -> dict[str, int]:
    return {"prompt_tokens": 1, "completion_tokens": count, "total_tokens": count + 1}


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    server = Server((arguments.host, arguments.port))
    drain = threading.Thread(target=server.drain, daemon=True)

    def stop(*_: object) -> None:
        if not drain.is_alive():
            drain.start()

    signal.signal(signal.SIGTERM, stop)
    server.serve_forever()


if __name__ == "__main__":
    main()
