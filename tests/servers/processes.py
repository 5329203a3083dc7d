"""Start the real servers that the tests talk to, each in a process of its own."""

import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_LIMIT = 120.0
LOG_LINES = 15


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(url: str, body: dict[str, object] | None = None, timeout: float = 5.0) -> bool:
    """Ask once; true if the answer is a 2xx."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout):
            return True
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def _server(name: str, command: list[str], port: int, first: dict[str, object]) -> Iterator[str]:
    """Run a server until the block ends; `first` is a chat request to warm it up, if not empty."""
    base_url = f"http://127.0.0.1:{port}/v1"
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        cache = Path(folder, "hub")  # without one, `transformers serve` cannot list its models
        cache.mkdir()
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache)}
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment
            )
        try:
            limit = time.monotonic() + START_LIMIT
            while not _answers(f"http://127.0.0.1:{port}/health"):
                if process.poll() is not None or time.monotonic() > limit:
                    break
                time.sleep(0.1)
            else:
                left = limit - time.monotonic()
                if not first or _answers(f"{base_url}/chat/completions", first, left):
                    yield base_url
                    return
            ended = process.poll()
            problem = "is not ready in time" if ended is None else f"ended with {ended}"
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
            raise RuntimeError(f"the {name} {problem}; its log ends:\n{tail}")
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def speech_server(python: str, voice: Path) -> Iterator[str]:
    """Run `piper_server.py` with a voice (.onnx); the model is called "piper"."""
    port = _free_port()
    script = Path(__file__).with_name("piper_server.py")
    command = [python, str(script), str(voice), "--port", str(port)]
    with _server("speech server", command, port, {}) as base_url:
        yield base_url


@contextmanager
def chat_server(python: str, model_dir: Path) -> Iterator[str]:
    """Run `transformers serve` with a model folder; the model is called `str(model_dir)`."""
    port, model = _free_port(), str(model_dir)
    command = [python, "-m", "transformers.cli.transformers", "serve", model]
    command += ["--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    hello = {"role": "user", "content": "Hello"}
    first: dict[str, object] = {"model": model, "messages": [hello], "max_tokens": 1}
    with _server("chat server", command, port, first) as base_url:
        yield base_url
