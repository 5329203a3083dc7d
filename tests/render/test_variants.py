"""Every variant renders as if it had been written by hand."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.conftest import Answers, Render, name_of, product_of

VARIANTS = product_of("device", "stt_engine", "llm_engine", "tts_engine", "docs_language")
# What would be left of a choice if another one was taken.
TRACES = {
    ("device", "cpu"): r"python:3\.11-slim|\+cpu|download\.pytorch\.org",
    ("device", "gpu"): r"nvidia|ubuntu22|Dockerfile\.gpu",
    ("stt_engine", "openai-whisper"): r"openai[-_]whisper|import whisper\b",
    ("stt_engine", "faster-whisper"): r"faster[-_]whisper|ctranslate2",
    ("llm_engine", "transformers"): r"\btransformers\b",
    ("llm_engine", "openai-compatible"): r"llm_base_url|llm_api_key|OpenAICompatibleChat",
    ("tts_engine", "supertonic"): r"supertonic",
    ("tts_engine", "openai-compatible"): r"tts_base_url|tts_api_key|OpenAICompatibleSpeech",
    ("tts_engine", "espeak-ng"): r"espeak",
    ("docs_language", "ko"): r"\.ko\.md",
    ("docs_language", "en"): r"\.en\.md",
}
# The guideline speaks of both devices, and so do its pages and its tests.
GUIDELINE = re.compile(r"GUIDELINE\.md|tests/guideline/")
BINARY = {".wav"}
each_variant = pytest.mark.parametrize("answers", VARIANTS, ids=name_of)


def texts(project: Path) -> dict[Path, str]:
    """Return the text of every file that is rendered, by its path in the project."""
    files = (f for f in project.rglob("*") if f.is_file() and f.suffix not in BINARY)
    return {f.relative_to(project): f.read_text("utf-8") for f in files}


@each_variant
def test_no_jinja_is_left(answers: Answers, render: Render) -> None:
    # Given a rendered variant
    files = texts(render(answers))
    # When it is searched for Jinja (test data of chat templates is Python's own business)
    left = {
        str(path): text
        for path, text in files.items()
        if re.search(r"\{\{-?\s*cookiecutter|\{%", text) and path.suffix != ".py"
    }
    # Then there is none, in names neither
    assert not left
    assert not [path for path in files if "{" in str(path)]


@each_variant
def test_every_file_parses(answers: Answers, render: Render) -> None:
    # Given a rendered variant
    files = texts(render(answers))
    # When each file is read as what its name says
    # Then none fails
    for path, text in files.items():
        if path.suffix == ".py":
            ast.parse(text)
        elif path.suffix == ".toml":
            tomllib.loads(text)
        elif path.suffix in {".yaml", ".yml"}:
            list(yaml.safe_load_all(text))
        elif path.suffix == ".json":
            json.loads(text)


@each_variant
def test_no_trace_of_other_variants(answers: Answers, render: Render) -> None:
    # Given a rendered variant, and what the choices not taken would leave behind
    others = {key: pattern for key, pattern in TRACES.items() if answers[key[0]] != key[1]}
    files = texts(render(answers))
    # When names and texts are searched for it
    found = [
        f"{path}: {match[0]} ({choice[1]})"
        for choice, pattern in others.items()
        for path, text in files.items()
        if not GUIDELINE.match(str(path))
        if (match := re.search(pattern, f"{path}\n{text}", re.IGNORECASE))
    ]
    # Then nothing is found
    assert not found


@each_variant
def test_files_look_written_by_hand(answers: Answers, render: Render) -> None:
    # Given a rendered variant
    # When its files are looked at
    for path, text in texts(render(answers)).items():
        # Then none is empty, each ends in one line end, and no text has a hole
        assert text.strip(), path
        assert text.endswith("\n"), path
        assert not text.endswith("\n\n"), path
        assert not re.search(r"[ \t]\n", text), path
        if path.suffix != ".py":  # ruff format sees to those
            assert "\n\n\n" not in text, path


@each_variant
def test_ruff_is_clean(answers: Answers, render: Render) -> None:
    # Given a rendered variant
    project = render(answers)
    # When ruff checks it with the project's own rules
    for command in (["check", "--output-format=concise"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "."],
            cwd=project,
            check=False,
            capture_output=True,
            text=True,
        )
        # Then it finds nothing
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("licence", ["MIT", "Apache-2.0", "Proprietary"])
def test_license_is_the_chosen_one(licence: str, render: Render) -> None:
    # Given a licence
    # When a project is rendered with it
    project = render({"license": licence, "author": "김철수 & Co."})
    # Then its text is there, and no other
    assert [file.name for file in project.glob("LICENSE*")] == ["LICENSE"]
    first_word = {"MIT": "MIT", "Apache-2.0": "Apache", "Proprietary": "Copyright"}[licence]
    assert (project / "LICENSE").read_text("utf-8").strip().startswith(first_word)
