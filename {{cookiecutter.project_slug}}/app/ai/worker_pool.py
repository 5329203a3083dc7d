"""One bounded queue and persistent worker threads in front of the engines of one task.

Models are neither fast enough for the event loop nor, all of them, safe in a pool of changing
threads: here each worker has an engine of its own for as long as the service runs.
"""

import asyncio
import queue
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from app.core import metrics
from app.core.errors import ErrorCode, ServiceError
from app.core.logger import get_logger

E = TypeVar("E")
T = TypeVar("T")
Emit = Callable[[T], None]
DEFAULT_JOB_SECONDS = 1.0
SMOOTHING = 0.2
log = get_logger(__name__)


class CancelledByCallerError(Exception):
    """Raised inside a job, by ``emit``, when nobody waits for its result any more."""


@dataclass
class _Job(Generic[E]):
    """A call that waits for a worker, and the loop that waits for the call."""

    call: Callable[[E, Emit[Any]], Any]
    loop: asyncio.AbstractEventLoop
    context: Context = field(default_factory=copy_context)
    """Of the request, so that its id is known in the worker's thread too."""
    submitted: float = field(default_factory=time.perf_counter)
    events: asyncio.Queue[tuple[str, Any]] = field(default_factory=asyncio.Queue)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def tell(self, kind: str, value: Any) -> None:
        """Hand an event to the loop; a loop that is closed has nobody who could read it."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.events.put_nowait, (kind, value))

    def emit(self, item: Any) -> None:
        """Pass one item of a stream on.

        Raises:
            CancelledByCallerError: the reader has gone.
        """
        if self.cancelled.is_set():
            raise CancelledByCallerError
        self.tell("item", item)


class WorkerPool(Generic[E]):
    """Runs jobs on engines, in order of arrival.

    Args:
        task: name for threads, logs and messages, such as ``stt``.
        engines: one for each worker thread.
        queue_size: jobs that may wait; one more is refused.
        examine: does a small piece of work after a job has failed, to tell an engine that is
            broken from a request that was.
    """

    def __init__(
        self,
        task: str,
        engines: Sequence[E],
        queue_size: int,
        examine: Callable[[E], None] = lambda _engine: None,
    ) -> None:
        self.task = task
        self.engine = engines[0]
        self._faults: dict[int, str] = {}
        self._examine = examine
        self._jobs: queue.Queue[_Job[E] | None] = queue.Queue()
        self._size = queue_size
        self._idle = len(engines)
        self._lock = threading.Lock()
        self._job_seconds = DEFAULT_JOB_SECONDS
        self._threads = [
            threading.Thread(target=self._work, args=(n, engine), name=f"{task}-{n}", daemon=True)
            for n, engine in enumerate(engines)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """How many jobs wait for a worker."""
        return max(0, self._jobs.qsize() - self._idle)

    @property
    def limit(self) -> int:
        """How many jobs may wait."""
        return self._size

    @property
    def workers(self) -> int:
        """How many jobs are worked on at the same time, at most."""
        return len(self._threads)

    @property
    def busy(self) -> int:
        """How many jobs are worked on."""
        return self.workers - self._idle

    @property
    def fault(self) -> str | None:
        """Why an engine is broken, or None. Others of the pool may still work."""
        return next(iter([*self._faults.values()]), None)

    async def run(self, call: Callable[[E], T]) -> T:
        """Return the call's result; the call runs in a worker thread with its engine.

        Raises:
            ServiceError: QUEUE_FULL, at once; or what the call raised.
        """
        job = self._submit(lambda engine, _emit: call(engine))
        try:
            _, value = await job.events.get()
        finally:
            job.cancelled.set()
        if isinstance(value, BaseException):
            raise value
        result: T = value
        return result

    async def stream(self, call: Callable[[E, Emit[T]], None]) -> AsyncGenerator[T]:
        """Yield what the call emits. The call is stopped at its next item when the reader goes.

        Raises:
            ServiceError: QUEUE_FULL, at once; or what the call raised.
        """
        job = self._submit(call)
        try:
            while True:
                kind, value = await job.events.get()
                if kind == "item":
                    yield value
                elif isinstance(value, BaseException):
                    raise value
                else:
                    return
        finally:
            job.cancelled.set()

    def refuse_if_full(self) -> None:
        """Raise QUEUE_FULL when a job would have to be refused now."""
        if self._jobs.qsize() - self._idle >= self._size:
            metrics.QUEUE_REFUSALS.labels(self.task).inc()
            seconds = max(1, round(self._job_seconds * self._size / len(self._threads)))
            raise ServiceError(ErrorCode.QUEUE_FULL, seconds=seconds, retry_after=seconds)

    def close(self, timeout: float) -> bool:
        """Let running jobs end, within ``timeout`` seconds; return whether all threads have."""
        deadline = time.monotonic() + timeout
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _submit(self, call: Callable[[E, Emit[Any]], Any]) -> _Job[E]:
        job = _Job(call, asyncio.get_running_loop())
        with self._lock:
            self.refuse_if_full()
            self._jobs.put(job)
        return job

    def _work(self, number: int, engine: E) -> None:
        while (job := self._jobs.get()) is not None:
            with self._lock:
                self._idle -= 1
            if not job.cancelled.is_set():
                self._do(job, number, engine)
            with self._lock:
                self._idle += 1

    def _do(self, job: _Job[E], number: int, engine: E) -> None:
        started = time.perf_counter()
        metrics.QUEUE_WAIT_SECONDS.labels(self.task).observe(started - job.submitted)
        try:
            outcome = job.context.run(job.call, engine, job.emit)
        except CancelledByCallerError:
            return
        except BaseException as error:
            outcome = error
        seconds = time.perf_counter() - started
        # Told before the caller is: who has an answer finds it in the metrics.
        metrics.JOB_SECONDS.labels(self.task).observe(seconds)
        job.tell("end", outcome)
        self._job_seconds += SMOOTHING * (seconds - self._job_seconds)
        if not isinstance(outcome, BaseException):
            self._faults.pop(number, None)
        elif not _is_callers_fault(outcome):
            metrics.ENGINE_FAILURES.labels(self.task).inc()
            self._look_after(number, engine)

    def _look_after(self, number: int, engine: E) -> None:
        try:
            self._examine(engine)
        except BaseException as error:  # a panic of native code is one; the worker must live on
            self._faults[number] = str(error).partition("\n")[0] or type(error).__name__
            log.exception("engine_broken", task=self.task)
        else:
            self._faults.pop(number, None)


def _is_callers_fault(error: BaseException) -> bool:
    return isinstance(error, ServiceError) and error.code is not ErrorCode.ENGINE_FAILED
