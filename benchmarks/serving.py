"""The service against its engines, bare: wall time of a transcription, and memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
from cookiecutter.main import cookiecutter

from tools.environments import ROOT
from tools.service_process import Service, running

ROUNDS = 9
BARE = Path(__file__).with_name("bare_engines.py")
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Engine:
    """A recogniser to measure: its name, and its weights in the folder of weights."""

    name: str
    weights: str


ENGINES = (
    Engine("faster-whisper", "whisper-base-ct2"),
    Engine("openai-whisper", "whisper-base.pt"),
)


@contextmanager
def bare(python: Path, engine: Engine, weights: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the bare engines in a process that answers a line with the seconds it took."""
    command = [str(python), str(BARE), engine.name, str(weights / engine.weights)]
    process = subprocess.Popen(
        [*command, str(weights / "smollm2-135m-instruct")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def bare_seconds(process: subprocess.Popen[str], recording: Path) -> float:
    """Have the bare engine transcribe a file; return its wall seconds."""
    assert process.stdin is not None
    assert process.stdout is not None
    print(recording, file=process.stdin, flush=True)
    seconds: float = json.loads(process.stdout.readline())
    return seconds


def service_seconds(service: Service, recording: Path) -> float:
    """Have the service transcribe a file; return the client's wall seconds."""
    content = recording.read_bytes()
    started = time.perf_counter()
    response = httpx2.post(
        f"{service.url}/v1/audio/transcriptions",
        headers={"Authorization": f"Bearer {service.key}"},
        files={"file": content},
        data={"model": "whisper-1"},
        timeout=600,
    )
    response.raise_for_status()
    return time.perf_counter() - started


def compare(
    engine: Engine, python: Path, weights: Path, recording: Path, folder: Path
) -> dict[str, float]:
    """Return the ratios service over bare: median wall time, and resident memory."""
    answers = {
        "project_slug": f"bench-{engine.name}",
        "stt_engine": engine.name,
        "tts_engine": "espeak-ng",
        "spoken_language": "en",
    }
    project = Path(
        cookiecutter(str(ROOT), no_input=True, output_dir=str(folder), extra_context=answers)
    )
    settings = {
        "STT_MODEL": str(weights / engine.weights),
        "LLM_MODEL": str(weights / "smollm2-135m-instruct"),
    }
    with (
        bare(python, engine, weights) as alone,
        running(project, python, settings, project / "service.log") as service,
    ):
        bare_seconds(alone, recording)
        service_seconds(service, recording)
        ratios = [
            service_seconds(service, recording) / bare_seconds(alone, recording)
            for _ in range(ROUNDS)
        ]
        memory = resident(service.pid) / resident(alone.pid)
    return {"wall": statistics.median(ratios), "memory": memory}


def resident(pid: int) -> float:
    """Return the resident memory of a process and its children, in MiB."""
    process = psutil.Process(pid)
    everyone = [process, *process.children(recursive=True)]
    return sum(one.memory_info().rss for one in everyone) / MEBIBYTE
