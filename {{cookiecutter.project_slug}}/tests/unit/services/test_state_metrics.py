import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.ai.engines import Engines
from app.services.container import Services
from app.services.state_metrics import StateMetrics
from tests.conftest import MakeServices, MakeSettings
from tests.doubles import Doubles
from tests.helpers import PATIENCE, until, values_of

pytestmark = pytest.mark.anyio
TASKS = ("stt", "llm", "tts")


async def test_a_ready_service(services: MakeServices) -> None:
    # Given a service whose engines are loaded
    running = services(service_version="v1.2.3", replicas=3, stt_queue=5)
    # When Prometheus reads
    found = values_of(StateMetrics(running).collect())
    # Then it is ready, and each engine is, with its queue
    assert found["service_info", "v1.2.3"] == found["service_ready",] == 1
    assert found["service_replicas_wanted",] == 3
    assert found["process_threads",] >= 3
    for task in TASKS:
        assert found["engine_state", task, "ready"] == 1
        assert found["engine_state", task, "broken"] == 0
        assert found["engine_info", task, "double-engine", "cpu"] == 1
        assert found["workers", task] == 1
        assert found["queue_jobs", task] == found["workers_busy", task] == 0
    assert found["volume_free_bytes", "static"] <= found["volume_size_bytes", "static"]


async def test_a_service_that_is_told_to_stop_is_not_ready(services: MakeServices) -> None:
    # Given a service that drains
    running = services()
    running.drain.begin()
    # When Prometheus reads, Then it is not ready
    assert values_of(StateMetrics(running).collect())["service_ready",] == 0


@pytest.fixture
async def loading(doubles: Doubles, make_settings: MakeSettings) -> AsyncIterator[Services]:
    """Return services whose engines are not loaded yet."""
    settings = make_settings()
    engines = Engines(doubles.configuration(settings))
    yield Services.build(settings, engines)
    await engines.close(PATIENCE)


async def test_engines_load_and_fail_and_break(loading: Services, doubles: Doubles) -> None:
    # Given engines that are not loaded
    state = StateMetrics(loading)
    # When Prometheus reads, Then they are loading, and have no queue
    found = values_of(state.collect())
    assert found["engine_state", "llm", "loading"] == 1
    assert ("queue_jobs", "llm") not in found
    # And one that cannot be loaded is failed
    loading.engines.failure = "no weights"
    assert values_of(state.collect())["engine_state", "llm", "failed"] == 1
    loading.engines.failure = None
    # And one that no longer works is broken
    await loading.engines.load()
    doubles.tts.error = RuntimeError("no voice")
    doubles.tts.warm_up = lambda: doubles.tts.note()  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        await loading.engines.tts.run(lambda engine: engine.speak("a", None))  # type: ignore[arg-type]
    await until(lambda: loading.engines.broken)
    assert values_of(state.collect())["engine_state", "tts", "broken"] == 1


async def test_spoken_answers_are_counted(services: MakeServices, tmp_path: Path) -> None:
    # Given two spoken answers on disk, and what is no answer
    running = services(static_dir=tmp_path, data_dir=tmp_path / "data")
    for number in range(2):
        (tmp_path / "tts" / f"{number}.wav").write_bytes(bytes(1000))
    (tmp_path / "tts" / ".gitignore").write_text("*\n")
    # When Prometheus reads, Then the two are counted; a folder that is missing has no size
    found = values_of(StateMetrics(running).collect())
    assert found["tts_files",] == 2
    assert found["tts_bytes",] == 2000
    assert ("volume_free_bytes", "data") not in found
    # And a folder that is gone is no error
    shutil.rmtree(tmp_path / "tts")
    assert values_of(StateMetrics(running).collect())["tts_files",] == 0
