"""The program itself, ``python main.py``, with the engines of the settings and tiny models."""

import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from httpx2 import Client, ConnectError

from app.core.config import ROOT

HERE = Path(__file__).parent
PATIENCE = 60.0
TASKS = ("stt", "llm", "tts")
KEY = "a-key-of-the-tests"
SECRET_KEY = "a-key-of-a-secret-file"
DRAIN = 3.0
LONG = "600"
"""Seconds of a drain that no test waits for."""


def tiny_engines(stack: ExitStack, folder: Path) -> dict[str, str]:
    """Return settings that give each engine of ``settings.toml`` the tiny model of its tests."""
    names = tomllib.loads((ROOT / "settings.toml").read_text("utf-8"))
    settings: dict[str, str] = {}
    for task in TASKS:
        engine = names[f"{task}_engine"].replace("-", "_")
        module = importlib.import_module(f"tests.unit.ai.{task}.test_{engine}")
        (folder / task).mkdir()
        settings |= stack.enter_context(module.tiny_engine(folder / task))
    return settings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Program:
    """A running ``main.py`` in a copy of the project, without the developer's ``.env``."""

    def __init__(self, stack: ExitStack, project: Path, settings: dict[str, str]) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        environment = {"PATH": os.environ["PATH"], "HOME": str(project), "HF_HUB_OFFLINE": "1"}
        environment["SECRETS_DIR"] = str(project / "no-secrets")
        environment |= {"API_KEYS": f"me:{KEY}", "PORT": str(self.port), "DEVICE": "cpu"}
        environment["METRICS_PORT"] = str(self.metrics_port)
        self._process = subprocess.Popen(
            [sys.executable, "main.py"],
            cwd=project,
            env=environment | settings,
            stderr=subprocess.PIPE,
            text=True,
        )
        stack.callback(self._process.kill)

    def end(self) -> tuple[int, str]:
        """Wait for its end, and return the exit status and what it wrote."""
        _, log = self._process.communicate(timeout=PATIENCE)
        return self._process.returncode, log

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Ask it to end, as a container's platform does, or with another signal."""
        self.tell(number)
        return self.end()

    def tell(self, number: int) -> None:
        self._process.send_signal(number)

    def client(self, key: str = KEY) -> Client:
        """Return a client of the service."""
        headers = {"Authorization": f"Bearer {key}"}
        return Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=PATIENCE)

    def wait_until_ready(self, client: Client) -> None:
        deadline = time.monotonic() + PATIENCE
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                if client.get("/ready").status_code == 200:
                    return
            except ConnectError:
                pass
            time.sleep(0.05)
        pytest.fail(self.stop()[1])


class Programs:
    """The program, running with what each test of this folder needs."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        project = folder / "project"
        for name in ("app", "static", "templates"):
            shutil.copytree(ROOT / name, project / name)
        for name in ("main.py", "settings.toml"):
            shutil.copy(ROOT / name, project)
        for task in TASKS:
            shutil.copy(HERE / "patient.py", project / "app" / "ai" / task)
        settings = tiny_engines(stack, folder)
        missing = {"STT_MODEL": str(folder / "missing.pt"), "DRAIN_SECONDS": LONG}
        unknown = {f"{task.upper()}_ENGINE": "none" for task in TASKS}
        self.good = Program(stack, project, settings)
        self.without_weights = Program(stack, project, settings | missing)
        bad = {**unknown, "PORT": "0", "API_KEYS": "me:change-me"}
        self.with_bad_settings = Program(stack, project, bad)
        self.bad_secrets = folder / "bad-secrets"
        secret = key_in_file(self.bad_secrets, f"me:{KEY}".encode() + b"\xff")
        self.with_bad_secret = Program(stack, project, secret)
        patient = patient_engines(folder) | {"SHUTDOWN_SECONDS": "1", "DRAIN_SECONDS": LONG}
        self.told_twice = Program(stack, project, patient)
        self.interrupted = Program(stack, project, patient)
        patient |= {"SHUTDOWN_SECONDS": str(int(PATIENCE)), "DRAIN_SECONDS": str(DRAIN)}
        secret = key_in_file(folder / "secrets", f"me:{SECRET_KEY}\n".encode())
        self.draining = Program(stack, project, patient | secret)


def patient_engines(folder: Path) -> dict[str, str]:
    """Return settings that give each task the engine of ``patient.py``."""
    names = {f"{task}_engine": "patient" for task in TASKS}
    settings = names | {"llm_model": "patient", "tts_voice": "F1"}
    file = folder / "patient.toml"
    file.write_text("".join(f'{name} = "{value}"\n' for name, value in settings.items()))
    return {"SETTINGS_FILE": str(file), "LLM_WORKERS": "4"}


def key_in_file(folder: Path, content: bytes) -> dict[str, str]:
    """Write the service's keys as a secret file; return the settings that have it read."""
    folder.mkdir()
    (folder / "API_KEYS").write_bytes(content)
    return {"SECRETS_DIR": str(folder), "API_KEYS": ""}


RUNNING = pytest.StashKey[Programs]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put these tests last."""
    items.sort(key=lambda item: HERE in item.path.parents)


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, bool, bool]:
    """Start the programs before the first test: they import for seconds, while others run."""
    with ExitStack() as stack:
        if any(HERE in item.path.parents for item in session.items):
            folder = stack.enter_context(TemporaryDirectory())
            session.stash[RUNNING] = Programs(stack, Path(folder))
        return (yield)


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest) -> Programs:
    return request.session.stash[RUNNING]


@pytest.fixture(scope="session")
def client(programs: Programs) -> Iterator[Client]:
    """Return a client of the program that has everything it needs, once it is ready."""
    with programs.good.client() as client:
        programs.good.wait_until_ready(client)
        yield client
