"""A project rendered anew, as cookiecutter makes it from the recorded answers."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.template.errors import TemplateError

# A template's hooks are programs: they get nothing of this process's tokens.
PASSED_ON = ("HOME", "LANG", "PATH", "SYSTEMROOT")
# What a project fills with its own: secrets, data, weights, spoken answers. No update looks at it.
UNTOUCHED = (".env", "data", "models", "static/tts")


@dataclass(frozen=True)
class Rendering:
    """A rendered project.

    Args:
        folder: its files, without those that no update touches.
        dropped: answers that this template does not ask for.
    """

    folder: Path
    dropped: list[str]


def render(
    template: Path, answers: Mapping[str, str], target: Path, skipped: list[str]
) -> Rendering:
    """Render a template's files into a new folder, without asking.

    Args:
        template: the template's files.
        answers: what is answered; questions beyond them get their defaults.
        target: a new folder.
        skipped: patterns of paths that the project leaves out of updates.

    Raises:
        TemplateError: an answer is wrong, or the folder holds no template.
    """
    target.mkdir()
    questions = _questions(template)
    given = [f"{name}={answers[name]}" for name in questions if name in answers]
    # cookiecutter keeps notes in the person's home, and takes defaults from there.
    config = target / "cookiecutter.yaml"
    notes = {"cookiecutters_dir": str(target / "notes"), "replay_dir": str(target / "notes")}
    config.write_text(json.dumps(notes), "utf-8")
    output = target / "project"
    command = [sys.executable, "-m", "cookiecutter", "--no-input", f"--config-file={config}"]
    done = subprocess.run(
        [*command, f"--output-dir={output}", str(template), *given],
        check=False,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
        errors="replace",
        env={name: os.environ[name] for name in PASSED_ON if name in os.environ}
        | {"PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(target)},
    )
    if done.returncode != 0:
        raise TemplateError(_reason(done.stderr))
    (folder,) = output.iterdir()
    for pattern in (*UNTOUCHED, *skipped):
        _remove(folder, pattern)
    return Rendering(folder, sorted(set(answers) - set(questions)))


def skipped_by(project: Path, record: str) -> list[str]:
    """Return what cruft's settings leave out of updates, in the record or in pyproject.toml."""
    found = list(json.loads(record).get("skip") or [])
    try:
        settings = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
        found += settings.get("tool", {}).get("cruft", {}).get("skip", [])
    except (OSError, ValueError):
        return found
    return [str(path) for path in found]


def _questions(template: Path) -> list[str]:
    try:
        asked = json.loads((template / "cookiecutter.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise TemplateError(
            "There is no cookiecutter.json in that state of the template: name another by REF=."
        ) from error
    return [name for name in asked if not name.startswith("_")]


def _reason(said: str) -> str:
    """Return the sentences of cookiecutter's errors, without their mark."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]
    return "\n".join(errors or ["The template could not be rendered: " + " ".join(lines[-1:])])


def _remove(folder: Path, pattern: str) -> None:
    """Remove what fits a pattern; one that leads out of the folder fits nothing."""
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        return
    for path in list(folder.glob(pattern)):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
