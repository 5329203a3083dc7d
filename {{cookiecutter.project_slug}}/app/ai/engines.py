"""The service's engines: found by name, loaded in the background, each behind its queue.

An engine is one file in ``app/ai/<task>``. It has ``EngineSettings`` (its own settings) and
``load(settings, own)``, which returns one engine for each worker; ``DEVICE``, where it runs on
something else than the service's own device. To add an engine, add a file and name it in the
settings.
"""

import asyncio
import importlib
import pkgutil
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, TypeVar, cast

from prometheus_client import Metric

from app.ai import devices
from app.ai.llm.base import ChatModel
from app.ai.stt.base import SpeechToText
from app.ai.tts.base import TextToSpeech
from app.ai.worker_pool import WorkerPool
from app.core import metrics
from app.core.config import (
    Settings,
    SettingsError,
    SettingsSource,
    read_settings,
    read_settings_file,
)
from app.core.errors import ErrorCode, ServiceError
from app.core.logger import get_logger

INTERFACE = "base"
STATES = ("loading", "ready", "broken", "failed")
PACKAGES = {"device": "devices", "stt_engine": "stt", "llm_engine": "llm", "tts_engine": "tts"}
T = TypeVar("T")
log = get_logger(__name__)


class ModuleNames(SettingsSource):
    """The settings that name modules."""

    device: Any = "cpu"
    stt_engine: Any = ""
    llm_engine: Any = ""
    tts_engine: Any = ""


@dataclass(frozen=True)
class Configuration:
    """Everything the settings say."""

    settings: Settings
    modules: dict[str, ModuleType]
    """Engine module by task: ``stt``, ``llm``, ``tts``."""
    own: dict[str, SettingsSource]
    """The engine's own settings by task."""
    device: ModuleType
    """Module of the device the models run on."""


def read_configuration() -> Configuration:
    """Read the settings of the service and of its engines.

    Raises:
        SettingsError: lists everything that is missing or impossible.
    """
    read_settings_file()
    modules, missing = {}, []
    for setting, name in ModuleNames().model_dump().items():
        try:
            modules[setting.removesuffix("_engine")] = find_module(setting, str(name))
        except SettingsError as error:
            missing.append(str(error))
    device = modules.pop("device", devices)
    classes = [Settings, ModuleNames, *(module.EngineSettings for module in modules.values())]
    settings, _, *own = read_settings(classes, missing)
    assert isinstance(settings, Settings)
    return Configuration(settings, modules, dict(zip(modules, own, strict=True)), device)


def find_module(setting: str, name: str) -> ModuleType:
    """Return the module that a setting names, with hyphens: an engine, or the device.

    Raises:
        SettingsError: there is no such module; the text names those that there are.
    """
    package = importlib.import_module(f"app.ai.{PACKAGES[setting]}")
    files = {module.name for module in pkgutil.iter_modules(package.__path__)} - {INTERFACE}
    file = name.replace("-", "_")
    if file not in files:
        known = ", ".join(sorted(file.replace("_", "-") for file in files))
        kind = setting.rpartition("_")[2]
        raise SettingsError(f"{setting.upper()}: {name!r} is no {kind} here, but {known} is")
    return importlib.import_module(f"{package.__name__}.{file}")


class Engines:
    """The engines of a running service; a task without one yet answers NOT_READY."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._pools: dict[str, WorkerPool[Any]] = {}
        self.failure: str | None = None
        """Why an engine could not be loaded, in one sentence."""
        self.device: str = configuration.settings.device
        """What the models run on; in more words once it is in use."""

    @property
    def ready(self) -> bool:
        """Whether every engine is loaded."""
        return self._pools.keys() == self._configuration.modules.keys()

    @property
    def stt(self) -> WorkerPool[SpeechToText]:
        """Speech to text."""
        return self._pool("stt")

    @property
    def llm(self) -> WorkerPool[ChatModel]:
        """Language model."""
        return self._pool("llm")

    @property
    def tts(self) -> WorkerPool[TextToSpeech]:
        """Text to speech."""
        return self._pool("tts")

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that there is an engine for."""
        return tuple(self._configuration.modules)

    def loaded(self, task: str) -> WorkerPool[Any] | None:
        """Return what works for a task, None before its engine is loaded."""
        return self._pools.get(task)

    def state(self, task: str) -> str:
        """Return one of `STATES`: what a task's engine is up to."""
        pool = self.loaded(task)
        if pool is None:
            return "failed" if self.failure else "loading"
        return "broken" if pool.fault else "ready"

    def device_of(self, task: str) -> str:
        """Return what a task's engine runs on; a server's engine names no device of ours."""
        module = self._configuration.modules[task]
        return str(getattr(module, "DEVICE", self.device))

    def device_metrics(self) -> Iterable[Metric]:
        """Return what the device tells of itself."""
        found: Iterable[Metric] = self._configuration.device.metrics()
        return found

    def engine_name(self, task: str) -> str:
        """Return the name of a task's engine, as the settings have it."""
        module = self._configuration.modules[task].__name__
        return module.rpartition(".")[2].replace("_", "-")

    @property
    def broken(self) -> str | None:
        """Why an engine that was loaded no longer works, or None."""
        faults = (f"{task}: {pool.fault}" for task, pool in self._pools.items() if pool.fault)
        return next(faults, None)

    def model_name(self, task: str) -> str:
        """Return the name of a task's model. Raises NOT_READY while it is loading."""
        name: str = self._pool(task).engine.model_name
        return name

    async def load(self) -> None:
        """Load every engine, away from the event loop.

        Raises:
            EngineLoadError: names the engine and the reason, in one sentence.
        """
        settings = self._configuration.settings
        self.device = await in_thread(self._configuration.device.prepare)
        for task, module in self._configuration.modules.items():
            started = time.perf_counter()
            name = module.__name__.rpartition(".")[2]
            log.info("engine_loading", task=task, engine=name)
            try:
                engines = await in_thread(partial(self._load, task))
            except Exception as error:
                failed = EngineLoadError(task, name, error)
                self.failure = str(failed)
                raise failed from error
            size: int = getattr(settings, f"{task}_queue")
            self._pools[task] = WorkerPool(task, engines, size, lambda engine: engine.warm_up())
            seconds = round(time.perf_counter() - started, 2)
            metrics.ENGINE_LOAD_SECONDS.labels(task).set(seconds)
            log.info("engine_loaded", task=task, engine=name, seconds=seconds)

    async def close(self, seconds: float) -> bool:
        """Let running jobs end, within this time for all; return whether they have."""
        closing = (asyncio.to_thread(pool.close, seconds) for pool in self._pools.values())
        ended = await asyncio.gather(*closing)
        self._pools.clear()
        return all(ended)

    def _load(self, task: str) -> list[Any]:
        configuration = self._configuration
        load = configuration.modules[task].load
        engines: list[Any] = load(configuration.settings, configuration.own[task])
        for engine in {id(engine): engine for engine in engines}.values():
            engine.warm_up()
        voice = configuration.settings.tts_voice
        if task == "tts" and engines[0].voices and voice not in engines[0].voices:
            raise ValueError(f"TTS_VOICE is {voice!r}, but the voices are {engines[0].voices}")
        return engines

    def _pool(self, task: str) -> WorkerPool[Any]:
        if task not in self._pools:
            raise ServiceError(ErrorCode.NOT_READY, retry_after=5)
        return self._pools[task]


async def in_thread(call: Callable[[], T]) -> T:
    """Return the call's result; its thread does not keep the process alive.

    A download of weights takes minutes. `asyncio.to_thread` would have the process wait for
    its end even when it was told to stop.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error:
            done.set_exception(error)
        else:
            done.set_result(cast("T", result))

    def work() -> None:
        result, failed = None, None
        try:
            result = call()
        except Exception as error:
            failed = error
        with suppress(RuntimeError):  # the loop has ended before
            loop.call_soon_threadsafe(settle, result, failed)

    threading.Thread(target=work, name="load", daemon=True).start()
    return await done


class EngineLoadError(Exception):
    """An engine that cannot be loaded."""

    def __init__(self, task: str, engine: str, cause: Exception) -> None:
        lines = str(cause).strip().splitlines()
        reason = lines[0] if lines else type(cause).__name__
        super().__init__(
            f"The {task} engine {engine} cannot be loaded: {reason}. Look at {task.upper()}_MODEL: "
            "a name is fetched over the network, once; a path must be there."
        )
