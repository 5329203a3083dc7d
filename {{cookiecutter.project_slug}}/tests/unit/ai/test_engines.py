from unittest.mock import Mock

import pytest

from app.ai.devices import cpu
from app.ai.engines import Configuration, EngineLoadError, Engines, find_module
from app.core.config import SettingsError, SettingsSource
from app.core.errors import ErrorCode, ServiceError
from tests.conftest import MakeSettings
from tests.doubles import Double, Doubles, engine_module
from tests.helpers import PATIENCE

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("task", ["stt", "llm", "tts"])
@pytest.mark.parametrize("name", ["", "base", "no-such"])
def test_an_unknown_engine_is_told_with_those_that_there_are(task: str, name: str) -> None:
    # Given a name that no module has
    with pytest.raises(SettingsError) as refused:
        find_module(f"{task}_engine", name)
    # When it is looked for, Then the message says what could be chosen
    assert str(refused.value).startswith(f"{task.upper()}_ENGINE: {name!r}")
    known = str(refused.value).split(", but ")[1].removesuffix(" is").split(", ")
    assert known
    assert all(find_module(f"{task}_engine", engine).EngineSettings for engine in known)


async def test_engines_answer_once_they_are_loaded(
    doubles: Doubles, make_settings: MakeSettings
) -> None:
    # Given engines that are not loaded yet
    engines = Engines(doubles.configuration(make_settings()))
    with pytest.raises(ServiceError) as early:
        _ = engines.stt
    assert early.value.code is ErrorCode.NOT_READY
    assert early.value.retry_after
    assert not engines.ready
    # When they are
    await engines.load()
    # Then each is behind its queue, until they are closed
    assert engines.ready
    assert [engines.model_name(task) for task in ("stt", "llm", "tts")] == [
        "double-stt",
        "double-llm",
        "double-tts",
    ]
    assert await engines.tts.run(lambda engine: engine.voices) == ("F1", "M1")
    await engines.close(PATIENCE)
    assert not engines.ready


async def test_an_engine_that_workers_share_is_warmed_up_once(make_settings: MakeSettings) -> None:
    # Given one engine for two workers, and one of its own for a third
    class Counted(Double):
        def warm_up(self) -> None:
            self.note()

    shared, own = Counted(), Counted()
    modules = {"stt": engine_module(lambda: [shared, shared, own])}
    engines = Engines(Configuration(make_settings(), modules, {"stt": SettingsSource()}, cpu))
    # When they are loaded
    await engines.load()
    await engines.close(PATIENCE)
    # Then each has done one piece of work
    assert (len(shared.calls), len(own.calls)) == (1, 1)


@pytest.mark.parametrize(
    ("cause", "reason"),
    [(OSError("no weights\nat all"), "no weights"), (MemoryError(), "MemoryError")],
)
async def test_a_load_failure_is_one_sentence(
    make_settings: MakeSettings, cause: Exception, reason: str
) -> None:
    # Given an engine whose library has a lot to say, or nothing
    modules = {"llm": engine_module(Mock(side_effect=cause))}
    engines = Engines(Configuration(make_settings(), modules, {"llm": SettingsSource()}, cpu))
    # When it is loaded
    with pytest.raises(EngineLoadError) as failed:
        await engines.load()
    # Then one line says which and why, for the log and for /ready
    said = str(failed.value)
    assert said.startswith(f"The llm engine double_engine cannot be loaded: {reason}. ")
    assert "LLM_MODEL" in said
    assert "\n" not in said
    assert engines.failure == str(failed.value)
    assert not engines.ready
