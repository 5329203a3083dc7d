"""What a project fills with its own stays untouched, and its secrets stay where they are."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.update import team
from tests.update.conftest import Start
from tests.update.older import Template
from tests.update.project import Project

CANARY = "canary-5b2a7d41c0e9"
# What no update touches, with what a service or a team puts there.
FILES = {
    ".env": f"API_KEYS=default:{CANARY}\n",
    ".env.production": f"LLM_API_KEY={CANARY}\n",
    "data/index/20251127_v1.bin": CANARY,
    "models/whisper/weights.bin": CANARY,
    "static/tts/20251127_0a1b.mp3": CANARY,
}
FOLDERS = ("data", "models", "static/tts")
State = dict[str, tuple[bytes, int, int]]


@pytest.fixture
def project(start: Start, tmp_path: Path) -> Project:
    """Return an old project that is in use, with a folder of its own for temporary files."""
    made = start()
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    made = replace(made, environment={**made.environment, "TMPDIR": str(temporary)})
    for name, text in FILES.items():
        file = made.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        file.chmod(0o600)
    return made


def untouched(project: Project) -> State:
    """Return content, time and mode of every file that no update touches."""
    folders = [file for name in FOLDERS for file in (project.root / name).rglob("*")]
    found = [project.root / name for name in FILES if name.startswith(".env")] + folders
    return {
        str(file): (file.read_bytes(), file.stat().st_mtime_ns, file.stat().st_mode)
        for file in found
        if file.is_file()
    }


def objects(project: Project) -> bytes:
    """Return every object of the repository, with names and messages."""
    command = ("git", "cat-file", "--batch-all-objects", "--unordered", "--batch")
    return subprocess.run(
        command, cwd=project.root, check=True, capture_output=True, env=project.environment
    ).stdout


def assert_no_secret(project: Project, *outputs: str) -> None:
    """Look for the secret in outputs, in git, and in the tool's temporary files."""
    assert not [text for text in outputs if CANARY in text]
    assert CANARY.encode() not in objects(project)
    tracked = project.git("ls-files").splitlines()
    assert not {*FILES, ".env"} & {*tracked}
    left = [*Path(project.environment["TMPDIR"]).rglob("*")]
    assert not [path for path in left if path.is_dir() or CANARY.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    "arguments",
    [
        ("check",),
        ("diff",),
        ("diff", "--markdown"),
        ("update",),
        ("update", "--answers", "device=gpu docs_language=ko"),
    ],
    ids=" ".join,
)
def test_own_files_are_untouched(arguments: tuple[str, ...], project: Project) -> None:
    # Given a project in use, with a secret, data, weights and spoken answers
    before = untouched(project)
    assert len(before) == len(FILES) + len(FOLDERS)  # each folder has a .gitignore
    # When the tool is run
    done = project.tool(*arguments)
    # Then those files are as they were, and the secret is nowhere else
    assert done.returncode in {0, 1}, done.stderr
    assert untouched(project) == before
    assert_no_secret(project, done.stdout, done.stderr)


def test_conflicts_hold_no_secret(project: Project) -> None:
    # Given a project in use, with work that conflicts
    team.work(project.root, team.CONFLICTS)
    project.adopt("feat: our work")
    before = untouched(project)
    # When it is updated, conflicts and all
    done = project.tool("update", "--commit-conflicts")
    # Then the same is true
    assert done.returncode == 1, done.stderr
    assert untouched(project) == before
    assert_no_secret(project, done.stdout, done.stderr)


def test_example_of_a_team_is_kept(project: Project) -> None:
    # Given a project whose own settings stand in the committed example
    team.append(project.root, ".env.example", "# Ours\nTICKET_URL=\n")
    project.adopt("docs: our settings")
    # When it is updated
    done = project.tool("update")
    # Then the example has them, and .env is not made from it
    assert done.returncode == 0, done.stderr
    assert "TICKET_URL=" in project.read(".env.example")
    assert project.read(".env") == FILES[".env"]


def test_token_of_an_address_is_not_told(project: Project) -> None:
    # Given a template that cannot be reached, at an address with a token
    address = f"http://user:{CANARY}@127.0.0.1:9/t.git"
    # When the tool is run
    done = project.tool("check", "--template", address)
    # Then it says where it looked, without the token
    assert done.returncode == 2
    assert "127.0.0.1:9/t.git" in done.stderr
    assert_no_secret(project, done.stdout, done.stderr)


def test_token_of_an_address_is_not_recorded(project: Project, template: Template) -> None:
    # Given a template that is reached at an address with a token
    address = f"https://user:{CANARY}@example.com/kodex-template.git"
    mapped = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{template.path.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": address,
    }
    project = Project(project.root, {**project.environment, **mapped})
    # When the project is updated
    done = project.tool("update", "--template", address)
    # Then the record has the address without the token
    assert done.returncode == 0, done.stderr
    record = json.loads(project.read(".cruft.json"))
    assert record["template"] == "https://example.com/kodex-template.git"
    assert_no_secret(project, done.stdout, done.stderr)
