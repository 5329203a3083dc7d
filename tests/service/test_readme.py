"""What the README tells of asking, carried out word for word against a running service."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.conftest import Answers, Render, product_of
from tools.service_process import Service

ADDRESS = "http://127.0.0.1:8000"
ENGINES = product_of("device", "stt_engine", "llm_engine", "tts_engine")
ROUTE = re.compile(r"`(GET|POST) (/[^`]*)`")


def examples(readme: str, language: str) -> list[str]:
    """Return the README's examples in a language."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    return found


@pytest.fixture(params=["ko", "en"])
def readme(request: pytest.FixtureRequest, render: Render) -> str:
    """Return the README in each language; its examples are the same in every variant."""
    answers: list[Answers] = [{**engines, "docs_language": request.param} for engines in ENGINES]
    texts = [(render(each) / "README.md").read_text("utf-8") for each in answers]
    asking = {(examples(text, "sh")[1], *examples(text, "python")) for text in texts}
    assert len(asking) == 1
    return texts[0]


@pytest.fixture
def folder(local: Service, tmp_path: Path) -> Path:
    """Return a folder as a project's, with the key of the service in its .env."""
    (tmp_path / ".env").write_text(f"API_KEYS=default:{local.key}\n", "utf-8")
    shutil.copytree(local.project / "tests" / "data", tmp_path / "tests" / "data")
    return tmp_path


def test_asking_in_a_terminal(readme: str, local: Service, folder: Path) -> None:
    # Given the commands of the README, with another port
    script = examples(readme, "sh")[1].replace(ADDRESS, local.url)
    assert script.count("curl") == 2
    # When a shell runs them
    strict = f"set -e\n{script.replace('curl ', 'curl --silent --fail-with-body ')}"
    done = subprocess.run(
        ["bash", "-c", strict], cwd=folder, check=False, capture_output=True, text=True
    )
    # Then the recording was heard, and both questions are answered
    assert done.returncode == 0, done.stdout + done.stderr
    spoken, end = json.JSONDecoder().raw_decode(done.stdout)
    typed = json.loads(done.stdout[end:])
    assert "can you hear me" in spoken["query"].lower()
    assert spoken["answer"]
    assert spoken["tts_url"]
    assert typed["query"] in readme
    assert typed["answer"]


def test_asking_from_python(readme: str, local: Service, folder: Path) -> None:
    # Given the README's program, with the key and another port
    (program,) = examples(readme, "python")
    program = re.sub('api_key="[^"]+"', f'api_key="{local.key}"', program)
    (folder / "ask.py").write_text(program.replace(ADDRESS, local.url), "utf-8")
    # When Python runs it
    done = subprocess.run(
        [sys.executable, "ask.py"], cwd=folder, check=False, capture_output=True, text=True
    )
    # Then it has an answer, as sound
    assert done.returncode == 0, done.stderr
    probe = ["ffprobe", "-loglevel", "error", "-show_entries", "format=format_name,duration"]
    sound = subprocess.run(
        [*probe, "answer.mp3"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
    duration = re.search(r"duration=([\d.]+)", sound)
    assert "format_name=mp3" in sound
    assert duration
    assert float(duration[1]) > 0.2


def test_the_routes_are_those_of_the_service(readme: str, local: Service) -> None:
    # Given the README's table of routes
    told = {(method, re.sub("<.*?>", "{}", path)) for method, path in ROUTE.findall(readme)}
    # When the service is asked for its own
    described = httpx2.get(f"{local.url}/openapi.json").json()["paths"]
    own = {
        (method.upper(), re.sub("{.*?}", "{}", path))
        for path, methods in described.items()
        for method in methods
    }
    # Then they are the same, but for the page, the description and the spoken answers
    assert own <= told
    assert told - own <= {("GET", "/"), ("GET", "/docs"), ("GET", "/static/tts/{}")}
    for path in ("/", "/docs"):
        assert httpx2.get(f"{local.url}{path}").status_code == 200
