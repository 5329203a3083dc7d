"""Answers: bad ones are refused in a sentence, strange ones render valid files."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.main import cookiecutter
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT, Render

HOSTILE = [
    'He said "hi"',
    "back\\slash \\n \\u0041 \\",
    "'single' and '''triple''' and \"\"\"triple\"\"\"",
    "한국어 설명, 그리고 이모지 🎙️👩‍🚀",
    "{{ 7 * 7 }} {% raw %} {# note #} }} %}",
    "cookiecutter {{ 7 * 7 }} {{ cookiecutter.device }}",
    "trailing newline\n",
    "two\nlines\r\nand a tab\t.",
    "${HOME} $(id) `id` %s {0}",
    "# no comment: [x] = {y}, & *z !w |v >u @t",
    "\u2028 \u0085 \ufeff \x7f \x00 null",
    "---",
    "<script>alert(1)</script>",
    "yes",
    "1e3",
]
# Where each free text goes, and how it is read back.
FREE_TEXT = ("project_name", "description", "author")


def run(*arguments: str, output: Path) -> subprocess.CompletedProcess[str]:
    """Run cookiecutter as a user does."""
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "cookiecutter",
            str(ROOT),
            "--no-input",
            "-o",
            str(output),
            *arguments,
        ],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "COOKIECUTTER_CONFIG": os.devnull},
    )


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("device", "tpu", "is not one of cpu, gpu"),
        ("device", "", "is not one of cpu, gpu"),
        ("stt_engine", "whisper.cpp", "is not one of openai-whisper, faster-whisper"),
        ("llm_engine", "vllm", "is not one of transformers, openai-compatible"),
        ("tts_engine", "piper", "is not one of supertonic, openai-compatible, espeak-ng"),
        ("spoken_language", "한국어", "is not one of ko, en, auto"),
        ("docs_language", "fr", "is not one of ko, en"),
        ("license", "GPL", "is not one of MIT, Apache-2.0, Proprietary"),
        ("project_slug", "My Service", "must be 1 to 50 lower-case letters"),
        ("project_slug", "-x", "must be 1 to 50 lower-case letters"),
        ("project_slug", "../outside", "must be 1 to 50 lower-case letters"),
        ("project_slug", "/tmp/outside", "must be 1 to 50 lower-case letters"),
        ("project_slug", "a/b", "must be 1 to 50 lower-case letters"),
        ("project_slug", "", "must be 1 to 50 lower-case letters"),
        ("project_slug", "x" * 51, "must be 1 to 50 lower-case letters"),
        ("project_slug", "class", "must be 1 to 50 lower-case letters"),
        ("registry", "https://ghcr.io/org", "must be a registry host"),
        ("registry", "ghcr.io/My Org", "must be a registry host"),
        ("registry", "ghcr.io/org/", "must be a registry host"),
        ("registry", "", "must be a registry host"),
        ("project_name", " ", "is empty"),
        ("project_name", "x" * 61, "is longer than 60 characters"),
        ("description", "\n", "is empty"),
        ("description", "x" * 301, "is longer than 300 characters"),
        ("author", "", "is empty"),
    ],
)
def test_bad_answer_is_refused(name: str, value: str, reason: str, tmp_path: Path) -> None:
    # Given an answer that cannot work
    output = tmp_path / "work" / "here"
    output.mkdir(parents=True)
    # When a project is generated with it
    done = run("project_slug=talker", f"{name}={value}", output=output)
    # Then one sentence names the answer, what is wrong and an example, and nothing is left
    said = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert done.returncode != 0
    assert len(said) == 1, done.stderr
    assert said[0].startswith(f"Error: {name}: ")
    assert reason in said[0]
    assert f"for example {name}=" in said[0]
    assert "Traceback" not in done.stdout + done.stderr
    assert sorted(tmp_path.rglob("*")) == [output.parent, output]


def test_every_bad_answer_is_told_at_once(tmp_path: Path) -> None:
    # Given two answers that cannot work
    # When a project is generated with them
    done = run("device=tpu", "registry=HTTP://X", output=tmp_path)
    # Then both are named
    assert "Error: device: " in done.stderr
    assert "Error: registry: " in done.stderr
    assert done.returncode != 0


def test_unknown_answer_is_an_error(tmp_path: Path) -> None:
    # Given an answer that no question asks for
    # When a project is generated with it
    done = run("devise=gpu", output=tmp_path)
    # Then it is an error that names the answers there are, not silence
    assert done.returncode != 0
    assert "devise: there is no such answer" in done.stderr
    assert "device" in done.stderr
    assert not [*tmp_path.iterdir()]


def test_summary_shows_every_answer_taken(tmp_path: Path) -> None:
    # Given answers
    # When a project is generated
    done = run("device=gpu", "project_slug=talker", output=tmp_path)
    # Then its summary has all twelve
    assert done.returncode == 0
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith("  ")]
    taken = dict(lines)
    assert len(taken) == 12
    assert taken["device"] == "gpu"
    assert taken["project_slug"] == "talker"


def test_korean_name_gives_a_slug(render: Render) -> None:
    # Given a Korean project name alone
    # When a project is rendered
    project = render({"project_name": "한국어 음성 서비스"})
    # Then its folder has a Latin name, and its documents the Korean one
    assert project.name.isascii()
    assert "한국어 음성 서비스" in (project / "README.md").read_text("utf-8")


def assert_valid(project: Path, answers: dict[str, str]) -> None:
    """Read back every file that holds free text, by its real parser."""
    one_line = {name: " ".join(text.split()) for name, text in answers.items()}
    data: dict[str, Any] = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
    assert data["project"]["description"] == one_line["description"]
    assert data["project"]["authors"] == [{"name": one_line["author"]}]
    assert tomllib.loads((project / "settings.toml").read_text("utf-8"))["service_name"] == "talker"
    readme = (project / "README.md").read_text("utf-8").splitlines()
    assert readme[0] == f"# {one_line['project_name']}"
    assert one_line["author"] in (project / "LICENSE").read_text("utf-8")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {
            "project_name": st.text(min_size=1, max_size=40).filter(str.strip),
            "description": st.text(min_size=1, max_size=200).filter(str.strip),
            "author": st.text(min_size=1, max_size=80).filter(str.strip),
        }
    )
)
def test_any_free_text_renders_valid_files(answers: dict[str, str]) -> None:
    # Given any text at all
    with tempfile.TemporaryDirectory() as folder:
        # When a project is generated with it
        context = {**answers, "project_slug": "talker", "docs_language": "en"}
        project = cookiecutter(str(ROOT), no_input=True, output_dir=folder, extra_context=context)
        # Then every file that has it is valid and has just that
        assert_valid(Path(project), answers)


for text in HOSTILE:
    test_any_free_text_renders_valid_files = example(dict.fromkeys(FREE_TEXT, text))(
        test_any_free_text_renders_valid_files
    )
