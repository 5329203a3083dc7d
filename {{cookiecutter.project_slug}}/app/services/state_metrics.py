"""Metrics that are looked up when Prometheus reads: readiness, engines, queues, files, disks."""

import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.registry import Collector

from app.ai.engines import STATES
from app.core.metrics import gauge
from app.services.container import Services

TASKS = Path("/proc/self/task")  # a folder for each thread of this process


class StateMetrics(Collector):
    """Looks at a running service. Each look is quick, and none of them fails."""

    def __init__(self, services: Services) -> None:
        self._services = services
        settings = services.settings
        self._volumes = {
            "data": settings.data_dir,
            "static": settings.static_dir / "tts",
            "models": settings.models_dir,
        }

    def collect(self) -> Iterable[Metric]:
        """Return every metric with its value of now."""
        yield from self._service()
        yield from self._engines()
        yield from self._queues()
        yield from self._files()
        yield from self._services.engines.device_metrics()

    def _service(self) -> Iterator[Metric]:
        services = self._services
        settings = services.settings
        ready = services.engines.ready and not services.drain.begun
        version = {(settings.service_version,): 1}
        yield gauge("service_info", "The release that runs.", version, "version")
        yield gauge("service_ready", "Whether requests may be sent here.", {(): ready})
        wanted = {(): settings.replicas}
        yield gauge("service_replicas_wanted", "How many replicas there should be.", wanted)
        yield gauge("process_threads", "Threads of the process.", {(): threads()})

    def _engines(self) -> Iterator[Metric]:
        engines = self._services.engines
        now = {task: engines.state(task) for task in engines.tasks}
        states = {(task, state): state == now[task] for task in now for state in STATES}
        yield gauge("engine_state", "Whether an engine is in a state.", states, "task", "state")
        info = {
            (task, engines.engine_name(task), engines.device_of(task)): 1
            for task in engines.tasks
            if engines.loaded(task)
        }
        text = "The engine of a task, and what it runs on."
        yield gauge("engine_info", text, info, "task", "engine", "device")

    def _queues(self) -> Iterator[Metric]:
        engines = self._services.engines
        pools = {(task,): pool for task in engines.tasks if (pool := engines.loaded(task))}
        for name, text, attribute in (
            ("queue_jobs", "Jobs that wait for an engine.", "waiting"),
            ("queue_limit", "Jobs that may wait for an engine.", "limit"),
            ("workers", "Jobs that an engine can work on at once.", "workers"),
            ("workers_busy", "Jobs that an engine works on.", "busy"),
        ):
            values = {task: getattr(pool, attribute) for task, pool in pools.items()}
            yield gauge(name, text, values, "task")

    def _files(self) -> Iterator[Metric]:
        files, size = self._services.audio.usage()
        yield gauge("tts_files", "Spoken answers on disk.", {(): files})
        yield gauge("tts_bytes", "Size of the spoken answers on disk.", {(): size})
        free, sizes = {}, {}
        for volume, folder in self._volumes.items():
            with suppress(OSError):  # gone, or not there yet
                usage = shutil.disk_usage(folder)
                free[volume,], sizes[volume,] = usage.free, usage.total
        yield gauge("volume_free_bytes", "Space left on a volume.", free, "volume")
        yield gauge("volume_size_bytes", "Size of a volume.", sizes, "volume")


def threads() -> int:
    """Return the number of threads, those of native libraries included where Linux tells them."""
    try:
        return sum(1 for _ in TASKS.iterdir())
    except OSError:
        return threading.active_count()
