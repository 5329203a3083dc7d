"""The clients of a load, in a process of their own.

They take commands from stdin, a JSON object a line. The first one is
``{"plan": {...}, "phase": "..."}`` with the fields of `Plan`, the others are ``{"phase": "..."}``
and ``{"report": true}``; the end of stdin stops them. For each report, and at the end, they write a
line with the fields of `Report`.

Plain asyncio streams: half a dozen lines for each step of HTTP/1.1, and a tenth of the processor
time of a client library, which would be taken from the service on the same machine.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import ssl
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from tools.delivery.load import Failure, Phase, Plan, Report, Request, Stream

OK = 200
DONE = "[DONE]"


class FailedError(Exception):
    """A request has failed; the text is the kind."""


class Connection:
    """A connection to the service, HTTP/1.1."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.keep = True
        """Whether both sides keep it after the last answer."""
        self._length: int | None = None
        self._chunked = False

    @property
    def usable(self) -> bool:
        """Whether another request may be sent, as far as this side knows."""
        return not self._reader.at_eof() and not self._writer.is_closing()

    def close(self) -> None:
        """Close it."""
        self._writer.close()

    async def ask(self, request: bytes) -> int:
        """Send a request and return the status of the answer. Raises FailedError."""
        try:
            self._writer.write(request)
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            kind = "cut in the head" if error.partial else "closed without an answer"
            raise FailedError(kind) from error
        except OSError as error:
            raise FailedError(f"no answer: {_reason(error)}") from error
        try:
            first, *lines = head.decode("latin-1").rstrip().split("\r\n")
            version, status, *_ = first.split(" ")
            pairs = (line.split(":", 1) for line in lines)
            headers = {name.strip().lower(): value.strip().lower() for name, value in pairs}
            length = headers.get("content-length")
            self._length = int(length) if length else None
            self._chunked = headers.get("transfer-encoding") == "chunked"
            self.keep = (
                version == "HTTP/1.1"
                and headers.get("connection") != "close"
                and (self._chunked or self._length is not None)
            )
            return int(status)
        except ValueError as error:
            raise FailedError("the answer is no HTTP") from error

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body of the answer. Raises FailedError where it is cut."""
        try:
            if self._chunked:
                while size := int(await self._reader.readuntil(b"\r\n"), 16):
                    yield (await self._reader.readexactly(size + 2))[:-2]
                await self._reader.readuntil(b"\r\n")
            elif self._length is None:
                yield await self._reader.read()
            elif self._length:
                yield await self._reader.readexactly(self._length)
        except (asyncio.IncompleteReadError, OSError, ValueError) as error:
            raise FailedError("cut in the body") from error


class Clients:
    """All clients, and what happens to them."""

    def __init__(self, plan: Plan, phase: str) -> None:
        self.plan = plan
        self.began = time.monotonic()
        self.stopping = False
        self.phases: list[Phase] = []
        self.starts: list[float] = []
        self.latencies: list[list[float]] = []
        self.versions: list[Counter[str]] = []
        self.address = urlsplit(plan.url)
        secure = self.address.scheme == "https"
        self.tls = ssl.create_default_context(cafile=plan.authority or None) if secure else None
        self.begin(phase)

    @property
    def now(self) -> float:
        """Seconds since the load began."""
        return time.monotonic() - self.began

    def begin(self, phase: str) -> None:
        """Begin a phase."""
        self.phases.append(Phase(phase, 0.0))
        self.starts.append(self.now)
        self.latencies.append([])
        self.versions.append(Counter())

    def report(self) -> Report:
        """Return what happened so far."""
        ends = [*self.starts[1:], self.now]
        for number, phase in enumerate(self.phases):
            latencies = sorted(self.latencies[number])
            phase.seconds = ends[number] - self.starts[number]
            phase.versions = dict(self.versions[number])
            phase.p50_ms = percentile(latencies, 0.50)
            phase.p99_ms = percentile(latencies, 0.99)
        return Report(self.phases, self.now, time.process_time())

    async def run(self) -> None:
        """Run every client until they are stopped."""
        plan = self.plan
        kinds = [True] * plan.keep_alive + [False] * plan.fresh
        spread = plan.interval_seconds / max(len(kinds), 1)
        async with asyncio.TaskGroup() as group:
            for number, keep in enumerate(kinds):
                group.create_task(self.ask_on(number, number * spread, keep=keep))
            for _ in range(plan.streams):
                group.create_task(self.stream_on())

    async def ask_on(self, number: int, delay: float, *, keep: bool) -> None:
        """Be one client: ask, wait, ask again."""
        requests = [self.message(request, keep=keep) for request in self.plan.requests]
        connection: Connection | None = None
        await asyncio.sleep(delay)
        for turn in count(number):
            if self.stopping:
                break
            began = time.monotonic()
            request, message = requests[turn % len(requests)]
            try:
                connection = await self.ask(connection, request, message, began)
            except FailedError as error:
                self.fail(str(error))
                connection = None
            self.phases[-1].requests += 1
            await asyncio.sleep(began + self.plan.interval_seconds - time.monotonic())
        if connection:
            connection.close()

    async def ask(
        self, connection: Connection | None, request: Request, message: bytes, began: float
    ) -> Connection | None:
        """Send one request; return the connection when it can take another. Raises FailedError."""
        if connection and not connection.usable:
            connection.close()
            connection = None
            self.phases[-1].reopened += 1
        good = False
        try:
            async with asyncio.timeout(self.plan.timeout_seconds):
                connection = connection or await self.connect()
                status = await connection.ask(message)
                body = b"".join([piece async for piece in connection.pieces()])
            check_status(status)
            if request.path == "/health":
                self.versions[-1][version_in(body)] += 1
            good = True
        except TimeoutError as error:
            raise FailedError("timeout") from error
        finally:
            if connection and not (good and connection.keep):
                connection.close()
        self.latencies[-1].append((time.monotonic() - began) * 1000)
        return connection if connection.keep else None

    async def stream_on(self) -> None:
        """Be a client that reads one streamed answer after the other."""
        stream = self.plan.stream
        messages = [{"role": "user", "content": "Count."}]
        body = {"model": stream.model, "messages": messages, "stream": True}
        _, message = self.message(Request(stream.path, body), keep=False)
        while not self.stopping:
            began = time.monotonic()
            try:
                await self.read_stream(message, stream)
            except FailedError as error:
                self.fail(f"stream: {error}")
                self.phases[-1].streams_cut += 1
            else:
                self.phases[-1].streams_complete += 1
            await asyncio.sleep(began + self.plan.interval_seconds - time.monotonic())

    async def read_stream(self, message: bytes, stream: Stream) -> None:
        """Read one streamed answer to its end. Raises FailedError when it is not whole."""
        connection = None
        try:
            async with asyncio.timeout(None) as limit:
                self.extend(limit)
                connection = await self.connect()
                status = await connection.ask(message)
                events = b""
                async for piece in connection.pieces():
                    self.extend(limit)
                    events += piece
            check_status(status)
            check_stream(events, stream.tokens)
        except TimeoutError as error:
            raise FailedError("timeout") from error
        finally:
            if connection:
                connection.close()

    def extend(self, limit: asyncio.Timeout) -> None:
        """Give the next piece its time."""
        limit.reschedule(asyncio.get_running_loop().time() + self.plan.timeout_seconds)

    async def connect(self) -> Connection:
        """Open a connection. Raises FailedError."""
        address = self.address
        port = address.port or (443 if self.tls else 80)
        try:
            streams = await asyncio.open_connection(address.hostname, port, ssl=self.tls)
        except ssl.SSLError as error:
            raise FailedError(f"TLS: {error.reason}") from error
        except OSError as error:
            raise FailedError(f"connect: {_reason(error)}") from error
        return Connection(*streams)

    def message(self, request: Request, *, keep: bool) -> tuple[Request, bytes]:
        """Return a request with its bytes."""
        body = b"" if request.body is None else json.dumps(request.body).encode()
        method = "GET" if request.body is None else "POST"
        lines = [f"{method} {request.path} HTTP/1.1", f"Host: {self.address.netloc}"]
        lines += ["Accept: */*", "User-Agent: kodex-load"]
        if not keep:
            lines.append("Connection: close")
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        if body and self.plan.key:
            lines.append(f"Authorization: Bearer {self.plan.key}")
        return request, "\r\n".join([*lines, "", ""]).encode() + body

    def fail(self, kind: str) -> None:
        """Count a failure."""
        self.phases[-1].failures.setdefault(kind, Failure(0, self.now)).count += 1


def check_status(status: int) -> None:
    """See that an answer is a good one. Raises FailedError."""
    if status != OK:
        raise FailedError(f"status {status}")


def version_in(body: bytes) -> str:
    """Return the version that /health tells. Raises FailedError when it is no JSON object."""
    try:
        return str(json.loads(body).get("version", "unknown"))
    except (ValueError, AttributeError) as error:
        raise FailedError("the answer is no JSON object") from error


def check_stream(events: bytes, tokens: int) -> None:
    """See that a streamed answer is whole. Raises FailedError."""
    data = [line[5:].strip() for line in events.decode().splitlines() if line.startswith("data:")]
    text = ""
    with suppress(ValueError):
        for event in data:
            content = json.loads(event)
            if "error" in content:
                raise FailedError("an error in its midst")
            for choice in content.get("choices", ()):
                text += choice.get("delta", {}).get("content") or ""
    if not data or data[-1] != DONE:
        raise FailedError("cut")
    if text.split() != [str(number) for number in range(tokens)]:
        raise FailedError("tokens are missing or out of order")


def percentile(values: list[float], part: float) -> float | None:
    """Return the smallest of sorted values that this part of them does not exceed."""
    return values[math.ceil(part * len(values)) - 1] if values else None


def _reason(error: OSError) -> str:
    """Return the system's own words: asyncio's have the address, which makes each one a kind."""
    known = error.errno is not None and error.errno > 0
    return os.strerror(error.errno or 0) if known else type(error).__name__


async def commands() -> asyncio.StreamReader:
    """Return what comes from stdin."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def read_plan(fields: dict[str, Any]) -> Plan:
    """Return a plan from its fields."""
    requests = tuple(Request(**request) for request in fields.pop("requests"))
    return Plan(requests=requests, stream=Stream(**fields.pop("stream")), **fields)


async def main() -> None:
    """Run the clients until stdin ends."""
    reader = await commands()
    first = json.loads(await reader.readline())
    clients = Clients(read_plan(first["plan"]), first["phase"])
    running = asyncio.create_task(clients.run())
    while line := await reader.readline():
        command = json.loads(line)
        if "phase" in command:
            clients.begin(command["phase"])
        else:
            print(json.dumps(asdict(clients.report())), flush=True)
    clients.stopping = True
    await running
    print(json.dumps(asdict(clients.report())), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
