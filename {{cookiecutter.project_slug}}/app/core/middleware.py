"""Pure ASGI middleware: request id and log line, metrics, the drain, and the limit of a body."""

import re
import time
import uuid

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core import metrics
from app.core.drain import Drain
from app.core.logger import USER_KEY, get_logger

REQUEST_ID_HEADER = "X-Request-ID"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
QUIET_PATHS = frozenset({"/health", "/ready"})
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
FAILURES = ("500", "503")
STATIC = "/static"
OTHER = "other"
log = get_logger(__name__)


class RequestLog:
    """Gives each request an id, returns it in a header, and logs the request when it ends.

    An id that the caller or a proxy sent is kept when it is short and plain.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = sent if REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            write = log.debug if scope["path"] in QUIET_PATHS else log.info
            write(
                "request",
                path=scope["path"],
                method=scope["method"],
                status_code=status,
                latency=round(time.perf_counter() - started, 4),
                user_id=scope.get("state", {}).get(USER_KEY),
            )


class RequestMetrics:
    """Counts and times each request.

    A request is counted under the route that took it, such as ``/v1/models/{model}``: those that no
    route takes are one, and so are methods that HTTP does not know.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # A look-up here is cheaper than one of the library's own, which checks the labels.
        self._seconds: dict[str, Histogram] = {}
        self._counts: dict[tuple[str, str, int], Counter] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        metrics.REQUESTS_IN_PROGRESS.inc()
        try:
            await self._app(scope, receive, send_and_note)
        finally:
            metrics.REQUESTS_IN_PROGRESS.dec()
            method = scope["method"]
            self._note(
                route_of(scope),
                method if method in METHODS else OTHER,
                status,
                time.perf_counter() - started,
            )

    def _note(self, route: str, method: str, status: int, seconds: float) -> None:
        times = self._seconds.get(route)
        if times is None:
            times = self._seconds[route] = metrics.REQUEST_SECONDS.labels(route)
        times.observe(seconds)
        key = route, method, status
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = metrics.REQUESTS.labels(route, method, str(status))
            # An error's series begins at 0 with the route's first answer: else it has no rate.
            for error in FAILURES:
                metrics.REQUESTS.labels(route, method, error)
        count.inc()


def route_of(scope: Scope) -> str:
    """Return the pattern of the route that has taken a request, or what stands for none."""
    route = scope.get("route")
    if route is not None:
        path: str = route.path
        return path
    return STATIC if scope["path"].startswith(f"{STATIC}/") else OTHER


class CloseConnections:
    """Ends each connection with its answer during the drain.

    A client that kept it open would send its next request into the stop.
    """

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start" and self._drain.begun:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, send_and_close)


class BodyLimit:
    """Answers 413 to a request body that is, or says it is, larger than ``most`` bytes.

    (FastAPI's own ``max_body_size`` answers in plain text, not in our form.)
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = Headers(scope=scope).get("content-length", "")
        size = int(said) if said.isdecimal() else 0

        async def receive_within_limit() -> Message:
            nonlocal size
            if size > self._most:
                raise HTTPException(413)
            message = await receive()
            if not said:
                size += len(message.get("body", b""))
            if size > self._most:
                raise HTTPException(413)
            return message

        await self._app(scope, receive_within_limit, send)
