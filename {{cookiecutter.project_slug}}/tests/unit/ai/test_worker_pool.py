import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from unittest.mock import Mock

import pytest
import structlog

from app.ai.worker_pool import CancelledByCallerError, Emit, WorkerPool
from app.core.errors import ErrorCode, ServiceError
from tests.helpers import PATIENCE, until

pytestmark = pytest.mark.anyio
MakePool = Callable[..., WorkerPool[int]]


@pytest.fixture
async def make_pool() -> AsyncIterator[MakePool]:
    pools: list[WorkerPool[int]] = []

    def make(
        engines: int = 1, queue: int = 8, examine: Callable[[int], None] = lambda _: None
    ) -> WorkerPool[int]:
        pools.append(WorkerPool("test", range(engines), queue, examine))
        return pools[-1]

    yield make
    for pool in pools:
        await asyncio.to_thread(pool.close, PATIENCE)


class Gate:
    """A job that waits until it is let through, and tells when it has begun."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.open = threading.Event()

    def __call__(self, engine: int) -> int:
        self.begun.release()
        assert self.open.wait(PATIENCE)
        return engine


async def test_jobs_run_in_order_of_arrival(make_pool: MakePool) -> None:
    # Given one worker
    pool, order = make_pool(), []
    # When several jobs come at once
    await asyncio.gather(*(pool.run(lambda _, n=n: order.append(n)) for n in range(8)))
    # Then none overtakes another
    assert order == list(range(8))


async def test_as_many_run_as_there_are_engines(make_pool: MakePool) -> None:
    # Given two workers
    pool, gate = make_pool(engines=2), Gate()
    # When three jobs come
    jobs = [asyncio.create_task(pool.run(gate)) for _ in range(3)]
    await until(lambda: gate.begun.acquire(blocking=False))
    await until(lambda: gate.begun.acquire(blocking=False))
    # Then two run, each with its own engine, and the third when one is done
    await asyncio.sleep(0.02)
    assert not gate.begun.acquire(blocking=False)
    gate.open.set()
    assert {*await asyncio.gather(*jobs)} == {0, 1}


async def test_one_more_than_may_wait_is_refused_at_once(make_pool: MakePool) -> None:
    # Given a worker that is busy, and a queue that is full
    pool, gate = make_pool(queue=2), Gate()
    jobs = [asyncio.create_task(pool.run(gate))]
    await until(lambda: gate.begun.acquire(blocking=False))
    jobs += [asyncio.create_task(pool.run(gate)) for _ in range(2)]
    await asyncio.sleep(0)
    # When one more comes
    with pytest.raises(ServiceError) as refused:
        await pool.run(gate)
    # Then it is told when to come again, while the others still wait
    assert refused.value.code is ErrorCode.QUEUE_FULL
    assert refused.value.retry_after is not None
    assert refused.value.retry_after >= 1
    assert not any(job.done() for job in jobs)
    gate.open.set()
    assert await asyncio.gather(*jobs) == [0, 0, 0]
    # And then there is room again
    assert await pool.run(lambda engine: engine) == 0


async def test_what_a_job_raises_reaches_its_caller_alone(make_pool: MakePool) -> None:
    # Given a job that fails
    pool = make_pool()
    with pytest.raises(ZeroDivisionError):
        await pool.run(lambda engine: 1 // engine)
    # When another follows, Then the worker is still there
    assert await pool.run(lambda _: "fine") == "fine"


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error"), ServiceError(ErrorCode.ENGINE_FAILED, task="TTS")]
)
async def test_a_failure_that_a_small_piece_of_work_repeats_is_the_engines(
    make_pool: MakePool, error: Exception
) -> None:
    # Given an engine that fails at anything
    examine = Mock(side_effect=ValueError("no voice\nat all"))
    pool = make_pool(examine=examine)
    # When a job has failed
    with pytest.raises(type(error)):
        await pool.run(Mock(side_effect=error))
    # Then the engine is broken, and why is one line
    await until(lambda: pool.fault)
    assert pool.fault == "no voice"
    # When a job succeeds all the same, Then it has mended
    await pool.run(lambda _: None)
    await until(lambda: pool.fault is None)


async def test_a_worker_that_works_does_not_hide_one_that_is_broken(make_pool: MakePool) -> None:
    # Given two workers, the first of which fails at anything, even in a way of native code
    def examine(engine: int) -> None:
        if engine == 0:
            raise BaseException("panic")  # noqa: TRY002 - as native code does

    def fail_on_the_first(engine: int) -> int:
        if engine == 0:
            raise RuntimeError
        return engine

    pool = make_pool(engines=2, examine=examine)
    while not pool.fault:
        with suppress(RuntimeError):
            await pool.run(fail_on_the_first)
        await asyncio.sleep(0)
    # When the second goes on working, Then the pool is still known to be broken
    gate = Gate()
    jobs = [asyncio.create_task(pool.run(gate)) for _ in range(2)]
    await until(lambda: gate.begun.acquire(blocking=False))
    await until(lambda: gate.begun.acquire(blocking=False))
    assert pool.fault == "panic"
    # And the first worker has survived
    gate.open.set()
    assert {*await asyncio.gather(*jobs)} == {0, 1}


@pytest.mark.parametrize(
    ("error", "examined"), [(ZeroDivisionError(), 1), (ServiceError(ErrorCode.TEXT_EMPTY), 0)]
)
async def test_a_request_that_fails_alone_breaks_nothing(
    make_pool: MakePool, error: Exception, examined: int
) -> None:
    # Given an engine that works
    examine = Mock()
    pool = make_pool(examine=examine)
    # When a request fails by itself
    with pytest.raises(type(error)):
        await pool.run(Mock(side_effect=error))
    await pool.run(lambda _: None)
    # Then the engine is examined only where it could have been the cause, and is found well
    assert examine.call_count == examined
    assert pool.fault is None


async def test_a_stream_keeps_its_order_and_ends(make_pool: MakePool) -> None:
    # Given a job that emits
    def count(_: int, emit: Emit[int]) -> None:
        for number in range(100):
            emit(number)

    # When it is read, Then everything comes, in order
    assert [number async for number in make_pool().stream(count)] == list(range(100))


async def test_a_stream_raises_after_what_came_before(make_pool: MakePool) -> None:
    # Given a job that fails half-way
    def fail(_: int, emit: Emit[str]) -> None:
        emit("half")
        raise ValueError("the other half")

    # When it is read, Then the first half comes, and then the reason
    stream = make_pool().stream(fail)
    assert await anext(stream) == "half"
    with pytest.raises(ValueError, match="other half"):
        await anext(stream)


async def test_a_reader_that_leaves_stops_the_job(make_pool: MakePool) -> None:
    # Given a job that would never end
    pool, stopped = make_pool(), threading.Event()

    def endless(_: int, emit: Emit[str]) -> None:
        try:
            while True:
                emit("more")
        except CancelledByCallerError:
            stopped.set()
            raise

    # When its reader has had enough
    stream = pool.stream(endless)
    assert await anext(stream) == "more"
    await stream.aclose()  # type: ignore[attr-defined]
    # Then it stops, and the worker takes the next job
    await until(stopped.is_set)
    assert await pool.run(lambda _: "next") == "next"


async def test_a_job_nobody_waits_for_never_runs(make_pool: MakePool) -> None:
    # Given a job in the queue
    pool, gate, ran = make_pool(), Gate(), []
    busy = asyncio.create_task(pool.run(gate))
    await until(lambda: gate.begun.acquire(blocking=False))
    waiting = asyncio.create_task(pool.run(ran.append))
    await asyncio.sleep(0)
    # When its caller leaves before its turn
    waiting.cancel()
    await asyncio.wait([waiting])
    gate.open.set()
    await busy
    await pool.run(lambda _: None)
    # Then it is passed over
    assert ran == []


async def test_closing_waits_for_what_runs_but_not_longer_than_told(make_pool: MakePool) -> None:
    # Given a running job
    pool, gate = make_pool(), Gate()
    job = asyncio.create_task(pool.run(gate))
    await until(lambda: gate.begun.acquire(blocking=False))
    # When the pool closes with too little time, Then it returns all the same
    await asyncio.to_thread(pool.close, 0.01)
    assert not job.done()
    # When it closes with enough, Then the job has had its end
    closing = asyncio.create_task(asyncio.to_thread(pool.close, PATIENCE))
    gate.open.set()
    await closing
    assert await job == 0


def test_an_answer_to_a_loop_that_has_ended_is_dropped() -> None:
    # Given a caller whose loop ends before the job does
    pool, gate = WorkerPool("test", [0], 1), Gate()

    async def leave() -> None:
        asyncio.create_task(pool.run(gate))  # noqa: RUF006 - it is abandoned on purpose
        await until(lambda: gate.begun.acquire(blocking=False))

    asyncio.run(leave())
    # When the job ends, Then the worker does not fail
    gate.open.set()
    pool.close(PATIENCE)


async def test_a_job_knows_its_request(make_pool: MakePool) -> None:
    # Given two requests, and a worker in a thread of its own
    pool, seen = make_pool(), []

    def look(_engine: int) -> None:
        seen.append(structlog.contextvars.get_contextvars().get("request_id"))

    # When each has a job done
    for request in ("r-1", "r-2"):
        with structlog.contextvars.bound_contextvars(request_id=request):
            await pool.run(look)
    # Then what the job logs there is of its request, and of no other
    await pool.run(look)
    assert seen == ["r-1", "r-2", None]


async def test_what_waits_and_what_is_worked_on_is_told(make_pool: MakePool) -> None:
    # Given two workers and three jobs
    pool, gate = make_pool(engines=2, queue=4), Gate()
    jobs = [asyncio.create_task(pool.run(gate)) for _ in range(3)]
    # When two have begun
    await until(lambda: pool.busy == 2)
    # Then one waits
    assert (pool.waiting, pool.limit, pool.workers) == (1, 4, 2)
    gate.open.set()
    await asyncio.gather(*jobs)
    await until(lambda: (pool.busy, pool.waiting) == (0, 0))
