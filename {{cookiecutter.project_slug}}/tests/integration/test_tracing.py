import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from fastapi.testclient import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider

from app.application import create_app
from app.core import tracing
from app.core.config import SettingsError
from tests.conftest import KEY, MakeSettings, StartApp
from tests.doubles import Doubles
from tests.helpers import tone, wav

PHONE, RESIDENT = "010-1234-5678", "900101-1234567"


class Collector:
    """Takes traces as OpenTelemetry's own collector does."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = ExportTraceServiceRequest()
                request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
                for resource in request.resource_spans:
                    for scope in resource.scope_spans:
                        collector.spans += scope.spans
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Have traces sent to a collector; afterwards they are off again."""
    started = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", started.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    for name in ("tracer", "shutdown"):
        monkeypatch.setattr(tracing._Tracing, name, getattr(tracing._Tracing, name))
    yield started
    started.server.shutdown()


def test_a_request_is_traced_step_by_step(start_app: StartApp, collector: Collector) -> None:
    # Given a service with an endpoint for its traces
    client = start_app(service_name="traced")
    provider = client.app._telemetry["tracer_provider"]  # type: ignore[attr-defined]
    assert isinstance(provider, TracerProvider)
    # When a spoken question is answered, whose address holds a person's numbers and a key
    secret = f"/api/voice-chat?phone={PHONE}&id={RESIDENT}&note={KEY}"
    reply = client.post(secret, files={"file": wav(tone())})
    assert reply.status_code == 200
    provider.force_flush()
    # Then the request and its three steps are one trace
    spans = {span.name: span for span in collector.spans}
    request = spans["POST /api/voice-chat"]
    for step in ("stt", "llm", "tts"):
        assert spans[step].trace_id == request.trace_id
        assert spans[step].parent_span_id
        assert spans[step].end_time_unix_nano > spans[step].start_time_unix_nano
    # And none of the numbers, the key and the texts is in it
    told = str(collector.spans)
    assert "***" in told
    for hidden in (PHONE, RESIDENT, KEY, "여보세요", "들립니다"):
        assert hidden not in told
    # And what only the platform asks is not traced
    assert not [name for name in spans if "/ready" in name]


def test_a_step_that_fails_is_marked(
    start_app: StartApp, collector: Collector, doubles: Any
) -> None:
    # Given a voice that is down
    client = start_app(service_name="failing")
    doubles.tts.error = RuntimeError("my words")
    vars(client.app.state.services.engines.tts.engine).update(error=doubles.tts.error)  # type: ignore[attr-defined]
    # When asked to speak
    client.post("/v1/audio/speech", json={"model": "tts-1", "input": "안녕"})
    client.app._telemetry["tracer_provider"].force_flush()  # type: ignore[attr-defined]
    # Then the step says what kind of error, and not its words
    (step,) = [span for span in collector.spans if span.name == "tts"]
    assert step.status.code == step.status.STATUS_CODE_ERROR
    assert "RuntimeError" in str(step)
    assert "my words" not in str(step)


def test_what_is_left_is_sent_at_the_end(
    make_settings: MakeSettings,
    doubles: Doubles,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a service that sends its traces once an hour
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    app = create_app(doubles.configuration(make_settings()), lambda: None)
    # When it is stopped right after a request
    with TestClient(app) as client:
        client.get("/v1/models")
    # Then the trace has got through
    assert "GET /v1/models" in {span.name for span in collector.spans}


def test_without_an_endpoint_nothing_is_traced(start_app: StartApp) -> None:
    # Given no endpoint, When the service starts, Then FastAPI is told to look at no request
    client = start_app()
    assert not client.app._native_telemetry.enabled()  # type: ignore[attr-defined]


def test_an_endpoint_that_is_no_address_is_refused(
    start_app: StartApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a word in place of an address
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector")
    # When the service starts, Then it says what to write
    with pytest.raises(
        SettingsError, match="OTEL_EXPORTER_OTLP_ENDPOINT: write an address such as"
    ):
        start_app(service_name="unreachable")
