import socket
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.core import metrics
from app.core.errors import ErrorCode
from tests.helpers import values_of


def test_series_of_events_begin_at_zero() -> None:
    # Given a process in which nothing has happened yet (others of this run may have done something)
    # When Prometheus reads
    found = values_of(metrics.REGISTRY.collect())
    # Then every series is there that an event would begin, so that its first event has a rate
    assert {("errors_total", code.name) for code in ErrorCode} <= found.keys()
    for task in metrics.TASKS:
        for name in ("queue_refusals_total", "engine_failures_total", "queue_wait_seconds_count"):
            assert (name, task) in found


def test_they_are_read_at_a_port_of_their_own() -> None:
    # Given a free port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # When the metrics are served there
    metrics.serve("127.0.0.1", port)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    # Then Prometheus can read them
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"http_requests", "process_cpu_seconds", "event_loop_lag_seconds"} <= names
    # And a port that is taken is refused
    with pytest.raises(OSError, match="in use"):
        metrics.serve("127.0.0.1", port)
