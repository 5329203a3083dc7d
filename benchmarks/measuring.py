"""What the metrics cost: a service that is measured and scraped, against one that is not.

On the cheapest route, where it costs the largest share. A server that is busy all the time answers
so many requests as its processor time allows: its processor seconds a request, of both services in
turn, are the throughput's inverse, and steadier than wall time on a machine with other work.
"""

from __future__ import annotations

import http.client
import statistics
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from cookiecutter.main import cookiecutter

from tools.environments import ROOT
from tools.service_process import Service, free_port, running

ROUNDS = 21
REQUESTS = 2_000
SCRAPE_SECONDS = 10.0  # as deploy/monitoring/prometheus.yml has it
ROUTE = "/health"
ANSWERS = {
    "project_slug": "bench-metrics",
    "stt_engine": "faster-whisper",
    "llm_engine": "openai-compatible",
    "tts_engine": "espeak-ng",
}


def cpu_seconds(service: Service) -> float:
    """Return the processor seconds of the service for a number of requests on one connection."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port))
    process = psutil.Process(service.pid)
    before = process.cpu_times()
    for _ in range(REQUESTS):
        connection.request("GET", ROUTE)
        connection.getresponse().read()
    after = process.cpu_times()
    connection.close()
    return after.user + after.system - before.user - before.system


@contextmanager
def scraped(service: Service) -> Iterator[None]:
    """Read the service's metrics as often as Prometheus does, until the block ends."""
    ended = threading.Event()

    def scrape() -> None:
        while not ended.wait(SCRAPE_SECONDS):
            urllib.request.urlopen(f"http://{service.metrics}/metrics").read()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def ratio(python: Path, weights: Path, folder: Path) -> float:
    """Return the median ratio: processor seconds with metrics over those without."""
    project = Path(
        cookiecutter(str(ROOT), no_input=True, output_dir=str(folder), extra_context=ANSWERS)
    )
    settings = {
        "STT_MODEL": str(weights / "whisper-base-ct2"),
        "LLM_BASE_URL": f"http://127.0.0.1:{free_port()}/v1",
    }
    without = settings | {"METRICS_PORT": "0"}
    with (
        running(project, python, settings, folder / "with.log") as measured,
        running(project, python, without, folder / "without.log") as plain,
        scraped(measured),
    ):
        cpu_seconds(measured), cpu_seconds(plain)
        return statistics.median(cpu_seconds(measured) / cpu_seconds(plain) for _ in range(ROUNDS))
