"""Traces of requests and of their steps, sent by OpenTelemetry where an endpoint is set.

``OTEL_EXPORTER_OTLP_ENDPOINT`` (or ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT``) names a collector that
takes OTLP over HTTP; OpenTelemetry's other variables are its libraries' own. Without an endpoint
their SDK is not even imported, and no request is looked at.
"""

import os
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog
from opentelemetry import propagate
from opentelemetry.trace import NoOpTracer, Span, StatusCode, Tracer

from app.core.config import SettingsError
from app.core.middleware import QUIET_PATHS, REQUEST_ID_HEADER
from app.utils.masking import mask

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
OFF: "TelemetryConfig" = {"tracing": False, "metrics": False, "logs": False}


class _Tracing:
    """What `step` writes to, and what sends the rest: nothing until traces are switched on."""

    tracer: Tracer = NoOpTracer()
    shutdown: Callable[[], object] = staticmethod(lambda: None)


def configure_tracing(service: str, version: str, secrets: tuple[str, ...]) -> "TelemetryConfig":
    """Switch traces on where an endpoint is set; return what FastAPI is to know of it.

    Args:
        service: name of the service in the traces.
        version: release that runs.
        secrets: texts that must not be in a trace.

    Raises:
        SettingsError: the endpoint is no address that traces can be sent to.
    """
    name = next((name for name in ENDPOINTS if os.environ.get(name)), None)
    if name is None:
        return OFF
    if not os.environ[name].startswith(("http://", "https://")):
        raise SettingsError(f"{name}: write an address such as http://collector:4318")
    # Their import takes a tenth of a second, which only those pay who want traces.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    class Masking(SpanProcessor):
        """Hides secrets and personal numbers in what a caller has sent: path, query, host."""

        def on_start(self, span: Any, parent_context: Any = None) -> None:  # noqa: ARG002 - the SDK's
            """Mask the attributes that a span begins with; later ones are the service's own."""
            for key, value in dict(span.attributes or {}).items():
                if isinstance(value, str):
                    span.set_attribute(key, mask(value, secrets))

    resource = Resource.create({"service.name": service, "service.version": version})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(Masking())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _Tracing.tracer, _Tracing.shutdown = provider.get_tracer(__name__), provider.shutdown
    return {**OFF, "tracing": True, "tracer_provider": provider, "exclude": is_quiet}


def is_quiet(scope: MutableMapping[str, Any]) -> bool:
    """Tell whether a request is a platform's own, of which nobody wants a trace."""
    return scope.get("path") in QUIET_PATHS


def end_tracing() -> None:
    """Send what has not been sent yet. It waits for the collector, so a thread should call it."""
    _Tracing.shutdown()


@contextmanager
def step(name: str) -> Iterator[Span]:
    """Trace a step of the request that is being answered: ``stt``, ``llm`` or ``tts``.

    It is no parent of other spans: what is traced may be a generator, which runs in the context of
    whoever asks for its next item.
    """
    span = _Tracing.tracer.start_span(name, record_exception=False, set_status_on_exception=False)
    try:
        yield span
    except Exception as error:
        span.set_status(StatusCode.ERROR)
        span.set_attribute("error.type", type(error).__name__)
        raise
    finally:
        span.end()


def outgoing_headers() -> dict[str, str]:
    """Return the headers by which another server knows the request that it works for."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    return headers | ({REQUEST_ID_HEADER: str(request_id)} if request_id else {})
