"""Running services with trained weights."""

from __future__ import annotations

import re
import subprocess
import wave
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import numpy as np
import openai
import pytest
from numpy.typing import NDArray

from tests.conftest import LOCKS, ROOT, Answers, Render
from tests.servers.processes import chat_server, speech_server
from tools.environments import environment
from tools.service_process import Service, running

TIMEOUT = 600.0
RATE = 16_000
SPEECH_PACKAGE = "pocketsphinx-testdata"
MISPRINT = ("more a amiable", "more amiable")  # the reference has a word that she does not say

Start = Callable[[str], Service]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder: it needs weights and minutes."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.service)


@pytest.fixture(scope="session")
def servers_python() -> Path:
    """Return the Python of the other servers: `transformers serve`, and Piper."""
    return environment([LOCKS / "torch-cpu.txt", ROOT / "tests" / "servers" / "requirements.txt"])


@pytest.fixture(scope="session")
def start(
    render: Render,
    every_engine: Path,
    weights: Path,
    servers_python: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Start]:
    """Return a function that starts a service by name, once; all stop at the end."""
    services: dict[str, Service] = {}
    with ExitStack() as stack:

        def local() -> tuple[Answers, dict[str, str]]:
            """faster-whisper, transformers and espeak-ng, all in the process."""
            return {
                "stt_engine": "faster-whisper",
                "llm_engine": "transformers",
                "tts_engine": "espeak-ng",
            }, {
                "STT_MODEL": str(weights / "whisper-base-ct2"),
                "LLM_MODEL": str(weights / "smollm2-135m-instruct"),
            }

        def remote() -> tuple[Answers, dict[str, str]]:
            """openai-whisper in the process, the other two on servers of other makers."""
            model = weights / "smollm2-135m-instruct"
            chat = stack.enter_context(chat_server(str(servers_python), model))
            voice = weights / "piper-joe" / "en_US-joe-medium.onnx"
            speech = stack.enter_context(speech_server(str(servers_python), voice))
            return {
                "stt_engine": "openai-whisper",
                "llm_engine": "openai-compatible",
                "tts_engine": "openai-compatible",
            }, {
                "STT_MODEL": str(weights / "whisper-base.pt"),
                "LLM_MODEL": str(model),
                "LLM_BASE_URL": chat,
                "TTS_MODEL": "piper",
                "TTS_BASE_URL": speech,
            }

        def started(name: str) -> Service:
            if name not in services:
                engines, settings = {"local": local, "remote": remote}[name]()
                project = render({**engines, "project_slug": name})
                common = {
                    "SPOKEN_LANGUAGE": "en",
                    "MESSAGE_LANGUAGE": "en",
                    "LLM_TEMPERATURE": "0",
                    "LLM_MAX_TOKENS": "48",
                    "LLM_MAX_TOKENS_LIMIT": "64",
                    "TMPDIR": str(tmp_path_factory.mktemp("tmp")),
                }
                log = project / "service.log"
                process = running(project, every_engine, common | settings, log)
                services[name] = stack.enter_context(process)
            return services[name]

        yield started


@pytest.fixture(scope="session")
def local(start: Start) -> Service:
    """Return the service with faster-whisper, transformers and espeak-ng."""
    return start("local")


@pytest.fixture(scope="session")
def remote(start: Start) -> Service:
    """Return the service with openai-whisper, and chat and speech servers behind it."""
    return start("remote")


@pytest.fixture(scope="session", params=["local", "remote"])
def either(request: pytest.FixtureRequest, start: Start) -> Service:
    """Return one service, then the other."""
    return start(request.param)


def tmpdir_of(service: Service) -> Path:
    """Return the folder of a service's temporary files."""
    environment = Path(f"/proc/{service.pid}/environ").read_bytes().decode().split("\0")
    return Path(dict(line.split("=", 1) for line in environment if line)["TMPDIR"])


def client(service: Service) -> openai.OpenAI:
    """Return OpenAI's own client, with nothing changed but address and key."""
    return openai.OpenAI(
        base_url=f"{service.url}/v1", api_key=service.key, timeout=TIMEOUT, max_retries=0
    )


def post(service: Service, path: str, content: bytes, name: str = "a.wav") -> httpx2.Response:
    """Upload a file."""
    return httpx2.post(
        f"{service.url}{path}",
        headers={"Authorization": f"Bearer {service.key}"},
        files={"file": (name, content)},
        data={"model": "whisper-1"} if path.startswith("/v1") else {},
        timeout=TIMEOUT,
    )


def samples_of(file: Path) -> NDArray[np.int16]:
    """Return the samples of a 16 kHz recording."""
    with wave.open(str(file)) as recording:
        assert recording.getframerate() == RATE
        return np.frombuffer(recording.readframes(recording.getnframes()), np.int16)


def wav_of(samples: NDArray[np.int16], file: Path) -> Path:
    """Write 16 kHz samples to a file and return it."""
    with wave.open(str(file), "wb") as recording:
        recording.setparams((1, 2, RATE, 0, "NONE", ""))
        recording.writeframes(samples.tobytes())
    return file


def recorded_speech() -> dict[Path, str]:
    """Return recordings of a person (LibriVox, public domain), with what she says.

    Raises:
        FileNotFoundError: the Debian package that has them is not installed.
    """
    listed = subprocess.run(
        ["dpkg", "-L", SPEECH_PACKAGE], check=False, capture_output=True, text=True
    ).stdout.split()
    files = {Path(name).stem: Path(name) for name in listed if "/librivox/" in name}
    if not files:
        raise FileNotFoundError(f"no recordings: apt-get install {SPEECH_PACKAGE}")
    lines = files["transcription"].read_text("utf-8").splitlines()
    matches = (re.fullmatch(r"<s> (.*) </s> \((.*)\)", line) for line in lines)
    return {files[match[2]]: match[1].replace(*MISPRINT) for match in matches if match}
