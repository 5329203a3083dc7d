"""What several tests need: sound, ffmpeg, a server, patience."""

import asyncio
import io
import subprocess
import threading
import time
import wave
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from prometheus_client import Metric

from app.ai.audio import SAMPLE_RATE, Samples

SPEECH = Path(__file__).parent / "data" / "speech.wav"
"""1.57 s of a voice: "Hello, can you hear me?"."""
PATIENCE = 5.0
STEP = 0.005


def tone(seconds: float = 0.5, rate: int = SAMPLE_RATE) -> Samples:
    """Return a sine of 440 Hz: sound, but no speech."""
    times = np.arange(int(seconds * rate), dtype=np.float32) / rate
    return (0.5 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)


def wav(samples: Samples, rate: int = SAMPLE_RATE, channels: int = 1) -> bytes:
    """Return a wav file of 16 bits, the same sound in every channel."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes((np.repeat(samples, channels) * 32767).astype("<i2").tobytes())
    return file.getvalue()


def speech_samples() -> Samples:
    """Return the recording of a voice as a recogniser takes it."""
    with wave.open(str(SPEECH)) as sound:
        frames = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
    return frames.astype(np.float32) / np.float32(32768)


class Upload:
    """An upload that comes in pieces."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    async def read(self, size: int = -1) -> bytes:
        return self._data.read(size)


def ffmpeg(*arguments: str) -> None:
    """Make a file."""
    subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", "-y", *arguments], check=True)


def values_of(metrics: Iterable[Metric]) -> dict[tuple[str, ...], float]:
    """Return the value of each series, by its name and the values of its labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in metrics
        for sample in metric.samples
    }


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that another thread or task brings about."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - a thread has no event of the loop
            await asyncio.sleep(STEP)


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Run a server of an ASGI application on a free port, and give its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(STEP)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()
