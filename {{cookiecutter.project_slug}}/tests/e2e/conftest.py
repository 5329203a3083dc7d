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
        self.port = free_port()
        environment = {"PATH": os.environ["PATH"], "HOME": str(project), "HF_HUB_OFFLINE": "1"}
        environment |= {"API_KEYS": f"me:{KEY}", "PORT": str(self.port), "DEVICE": "cpu"}
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

    def stop(self) -> tuple[int, str]:
        """Ask it to end, as a container's platform does."""
        self._process.send_signal(signal.SIGTERM)
        return self.end()

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
    """The program three times: with all it needs, without weights, and with bad settings."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        project = folder / "project"
        for name in ("app", "static", "templates"):
            shutil.copytree(ROOT / name, project / name)
        for name in ("main.py", "settings.toml"):
            shutil.copy(ROOT / name, project)
        settings = tiny_engines(stack, folder)
        missing = {"STT_MODEL": str(folder / "missing.pt")}
        unknown = {f"{task.upper()}_ENGINE": "none" for task in TASKS}
        self.good = Program(stack, project, settings)
        self.without_weights = Program(stack, project, settings | missing)
        bad = {**unknown, "PORT": "0", "API_KEYS": "me:change-me"}
        self.with_bad_settings = Program(stack, project, bad)


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
    headers = {"Authorization": f"Bearer {KEY}"}
    address = f"http://127.0.0.1:{programs.good.port}"
    with Client(base_url=address, headers=headers, timeout=PATIENCE) as client:
        programs.good.wait_until_ready(client)
        yield client
