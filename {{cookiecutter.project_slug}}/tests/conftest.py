"""Fixtures of every layer: isolated settings, engines, and the application with doubles."""

import io
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.ai.engines import Engines, ModuleNames, find_module
from app.application import create_app
from app.core.config import SETTINGS_FILE_VARIABLE, Settings, SettingsSource, read_settings
from app.core.logger import configure_logging
from app.services.container import Services
from tests.doubles import Doubles
from tests.helpers import PATIENCE, STEP

USER, KEY = "tester", "a-key-of-the-tests"
DEFAULTS = {
    "api_keys": f"{USER}:{KEY}",
    "stt_engine": "double",
    "llm_engine": "double",
    "llm_model": "double",
    "tts_engine": "double",
    "tts_voice": "F1",
}
ENGINE_PREFIXES = ("stt_", "llm_", "tts_")

WriteSettings = Callable[..., Path]
MakeSettings = Callable[..., Settings]
LoadEngines = Callable[..., list[Any]]
MakeServices = Callable[..., Services]
StartApp = Callable[..., TestClient]
Logs = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's ``.env`` and environment out."""
    for cls in (SettingsSource, *SettingsSource.__subclasses__()):
        monkeypatch.setitem(cls.model_config, "env_file", None)
    for name in os.environ:
        if name.lower() in Settings.model_fields or name.lower().startswith(ENGINE_PREFIXES):
            monkeypatch.delenv(name)


@pytest.fixture
def write_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteSettings:
    """Write a ``settings.toml`` with exactly these settings, and have it read."""
    file = tmp_path / "settings.toml"
    monkeypatch.setenv(SETTINGS_FILE_VARIABLE, str(file))

    def write(**settings: object) -> Path:
        lines = (
            f"{name} = {json.dumps(value, ensure_ascii=False, default=str)}\n"
            for name, value in settings.items()
        )
        file.write_text("".join(lines), encoding="utf-8")
        return file

    return write


@pytest.fixture(scope="session")
def static_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project") / "static"
    folder.mkdir()
    return folder


@pytest.fixture
def make_settings(write_settings: WriteSettings, static_dir: Path) -> MakeSettings:
    """Return settings that are complete, with changes."""

    def make(**changes: object) -> Settings:
        write_settings(**{"static_dir": static_dir, **DEFAULTS, **changes})
        (settings,) = read_settings([Settings])
        assert isinstance(settings, Settings)
        return settings

    return make


@pytest.fixture
def load_engines(write_settings: WriteSettings) -> LoadEngines:
    """Load the engines of a task, as the service does, from its settings."""

    def load(task: str, name: str, **changes: object) -> list[Any]:
        write_settings(**{**DEFAULTS, f"{task}_engine": name, **changes})
        module = find_module(f"{task}_engine", name)
        settings, _, own = read_settings([Settings, ModuleNames, module.EngineSettings])
        engines: list[Any] = module.load(settings, own)
        return engines

    return load


@pytest.fixture
def doubles() -> Doubles:
    return Doubles()


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Catch what is logged, in every phase of a test (pytest changes its own capture)."""
    root = logging.getLogger()
    before = root.handlers, root.level
    stream = io.StringIO()
    monkeypatch.setattr("app.core.logger.sys", SimpleNamespace(stderr=stream))
    yield stream
    root.handlers, root.level = before
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def logs(stderr: io.StringIO) -> Logs:
    """Return the lines logged since the last call, once logging is configured."""

    def read() -> list[dict[str, Any]]:
        lines = stderr.getvalue().splitlines()
        stderr.seek(0)
        stderr.truncate()
        return [json.loads(line) for line in lines]

    return read


@pytest.fixture
async def services(
    doubles: Doubles, make_settings: MakeSettings, logs: Logs
) -> AsyncIterator[MakeServices]:
    """Return the services of a running application with doubles, without HTTP."""
    settings = make_settings()
    configure_logging(settings)
    engines = Engines(doubles.configuration(settings))
    await engines.load()
    logs()
    yield lambda **changes: Services.build(make_settings(**changes), engines)
    await engines.close(PATIENCE)


@pytest.fixture(scope="session")
def apps() -> dict[str, tuple[FastAPI, Doubles]]:
    """Keep applications, by their settings: FastAPI takes its time to build one."""
    return {}


@pytest.fixture
def start_app(
    apps: dict[str, tuple[FastAPI, Doubles]],
    doubles: Doubles,
    make_settings: MakeSettings,
    logs: Logs,
) -> Iterator[StartApp]:
    """Start an application with doubles, and return a client that has its key."""
    with ExitStack() as stack:

        def start(**changes: object) -> TestClient:
            settings = make_settings(**changes)
            if repr(changes) not in apps:
                stage = Doubles()
                app = create_app(stage.configuration(settings), lambda: None)
                apps[repr(changes)] = app, stage
            app, stage = apps[repr(changes)]
            vars(stage).update(vars(doubles))
            configure_logging(settings)
            headers = {"Authorization": f"Bearer {KEY}"}
            client = TestClient(app, headers=headers, raise_server_exceptions=False)
            stack.enter_context(client)
            deadline = time.monotonic() + PATIENCE
            while client.get("/ready").status_code != 200:
                assert time.monotonic() < deadline
                time.sleep(STEP)
            logs()
            return client

        yield start


@pytest.fixture
def client(start_app: StartApp) -> TestClient:
    return start_app()
