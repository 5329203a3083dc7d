"""An HTTP proxy in front of a real server: it counts bytes, and is slow or silent when told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PIECE_BYTES = 1 << 15
HOP_BY_HOP = {"connection", "date", "keep-alive", "server", "transfer-encoding"}


@dataclass
class Passed:
    """A request that has gone through."""

    method: str
    path: str
    range: str | None
    """The ``Range`` header."""
    authorized: bool
    """Whether the request had credentials."""
    sent: int = 0
    """Bytes of the answer's body that were passed on."""


class SlowProxy:
    """A running proxy.

    Args:
        target: address of the server behind it.

    Attributes:
        url: its own address.
        speed: bytes a second of every body that begins from now on; None is as fast as it goes.
        silent: True answers nothing any more, but keeps the connections.
        passed: what has gone through.
    """

    def __init__(self, target: str) -> None:
        self.speed: float | None = None
        self.silent = False
        self.passed: list[Passed] = []
        self.url = ""
        self.target = target

    @contextmanager
    def running(self) -> Iterator[SlowProxy]:
        """Listen on a free port of 127.0.0.1 until the block ends."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy.serve(self)

            do_HEAD = do_GET  # noqa: N815 - the name is http.server's

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    def bodies(self, name: str) -> list[Passed]:
        """Return the requests for a file's content."""
        return [one for one in self.passed if one.method == "GET" and one.path.endswith(name)]

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Pass one request on, and its answer back."""
        headers = dict(handler.headers)
        path = urlsplit(handler.path).path
        one = Passed(handler.command, path, headers.get("range") or headers.get("Range"), False)
        one.authorized = any(name.lower() == "authorization" for name in headers)
        self.passed.append(one)
        server = HTTPConnection(urlsplit(self.target).netloc)
        server.request(handler.command, handler.path, headers=headers)
        answer = server.getresponse()
        handler.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                handler.send_header(name, value)
        handler.end_headers()
        began, speed = time.monotonic(), self.speed
        while piece := answer.read(PIECE_BYTES):
            while self.silent:
                time.sleep(0.01)
            try:
                handler.wfile.write(piece)
            except OSError:  # the client is gone
                break
            one.sent += len(piece)
            if speed:
                time.sleep(max(began + one.sent / speed - time.monotonic(), 0))
        server.close()
