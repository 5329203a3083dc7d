"""What Prometheus reads: the service's metrics, and the port that they are read at.

Names and units follow Prometheus's conventions (prometheus.io/docs/practices/naming). The values of
labels come from lists that this code has, never from a request: no caller can add a series, and no
user, path or file name is in one.

Counters and histograms stand here and are told where something happens. What can be looked up at
any time, such as the length of a queue, is looked up by `app.services.state_metrics`.
"""

from collections.abc import Mapping
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily

from app.core.errors import ErrorCode

Labels = TypeVar("Labels", bound=tuple[str, ...])
# When a series began is no metric that anybody looks at, and half of all lines.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

TASKS = ("stt", "llm", "tts")
# In seconds. The work of models takes from a tenth of a second to minutes.
REQUEST_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)
WAIT_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
JOB_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
FIRST_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

REQUESTS = Counter(
    "http_requests",
    "Requests that have ended.",
    ("route", "method", "status"),
    registry=REGISTRY,
)
REQUEST_SECONDS = Histogram(
    "http_request_duration_seconds",
    "Time of a request, to the end of its answer.",
    ("route",),
    registry=REGISTRY,
    buckets=REQUEST_BUCKETS,
)
REQUESTS_IN_PROGRESS = Gauge(
    "http_requests_in_progress", "Requests that have not ended yet.", registry=REGISTRY
)
ERRORS = Counter("errors", "Errors that callers were told, by code.", ("code",), registry=REGISTRY)
DEGRADED_ANSWERS = Counter(
    "degraded_answers",
    "Answers without a part that was down: a fallback sentence (llm), a text alone (tts).",
    ("part",),
    registry=REGISTRY,
)

QUEUE_WAIT_SECONDS = Histogram(
    "queue_wait_seconds",
    "Time that a job has waited for its engine.",
    ("task",),
    registry=REGISTRY,
    buckets=WAIT_BUCKETS,
)
QUEUE_REFUSALS = Counter(
    "queue_refusals", "Jobs that were refused: the queue was full.", ("task",), registry=REGISTRY
)
JOB_SECONDS = Histogram(
    "engine_job_duration_seconds",
    "Time that an engine has worked on a job.",
    ("task",),
    registry=REGISTRY,
    buckets=JOB_BUCKETS,
)
ENGINE_FAILURES = Counter(
    "engine_failures", "Jobs that failed by the engine's fault.", ("task",), registry=REGISTRY
)
ENGINE_LOAD_SECONDS = Gauge(
    "engine_load_seconds", "Time that it took to load an engine.", ("task",), registry=REGISTRY
)
AUDIO_SECONDS = Counter(
    "audio_seconds",
    "Length of the sound heard (stt) or spoken (tts).",
    ("task",),
    registry=REGISTRY,
)
FIRST_TOKEN_SECONDS = Histogram(
    "llm_first_token_seconds",
    "Time from a question to the first piece of its answer.",
    registry=REGISTRY,
    buckets=FIRST_BUCKETS,
)
FIRST_AUDIO_SECONDS = Histogram(
    "first_audio_seconds",
    "Time from a text to its first sound.",
    registry=REGISTRY,
    buckets=FIRST_BUCKETS,
)
TOKENS = Counter("llm_tokens", "Tokens read and written.", ("kind",), registry=REGISTRY)
EVENT_LOOP_LAG_SECONDS = Histogram(
    "event_loop_lag_seconds",
    "Time by which the event loop was late.",
    registry=REGISTRY,
    buckets=LAG_BUCKETS,
)

# A series that begins with its first event has no rate for it; these begin at 0.
for _code in ErrorCode:
    ERRORS.labels(_code.name)
for _task in TASKS:
    for _metric in (QUEUE_WAIT_SECONDS, QUEUE_REFUSALS, JOB_SECONDS, ENGINE_FAILURES):
        _metric.labels(_task)
for _task in ("llm", "tts"):
    DEGRADED_ANSWERS.labels(_task)
for _task in ("stt", "tts"):
    AUDIO_SECONDS.labels(_task)
for _kind in ("prompt", "completion"):
    TOKENS.labels(_kind)


def serve(host: str, port: int) -> None:
    """Answer Prometheus at an address of its own, in a thread, for as long as the process runs.

    Raises:
        OSError: the address is taken or not this machine's.
    """
    start_http_server(port, host, REGISTRY)


def gauge(name: str, text: str, values: Mapping[Labels, float], *labels: str) -> GaugeMetricFamily:
    """Return a gauge.

    Args:
        name: of the metric, with its unit.
        text: what it is.
        values: by the values of the labels.
        labels: their names.
    """
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, float(value))
    return family
