"""Keeps the files of the chosen variant under their final names, and writes the first ``.env``."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

ANSWERS: dict[str, str] = json.loads({{cookiecutter | jsonify | tojson}})  # noqa: F821 - filled in by cookiecutter

# answer -> choice -> its files. A chosen file loses a ".<choice>" in its name; the files of
# the other choices go.
ENGINES = {"stt_engine": "stt", "llm_engine": "llm", "tts_engine": "tts"}
ENGINE_FILES = ("app/ai/{task}/{module}.py", "tests/unit/ai/{task}/test_{module}.py")
VARIANTS: dict[str, dict[str, list[str]]] = {
    "device": {"cpu": ["Dockerfile.cpu"], "gpu": ["Dockerfile.gpu"]},
    "stt_engine": {"openai-whisper": [], "faster-whisper": []},
    "llm_engine": {"transformers": [], "openai-compatible": []},
    "tts_engine": {"supertonic": [], "openai-compatible": [], "espeak-ng": []},
    "docs_language": {
        "ko": ["README.ko.md", "CONTRIBUTING.ko.md", "AGENTS.ko.md"],
        "en": ["README.en.md", "CONTRIBUTING.en.md", "AGENTS.en.md"],
    },
    "license": {
        "MIT": ["LICENSE.MIT"],
        "Apache-2.0": ["LICENSE.Apache-2.0"],
        "Proprietary": ["LICENSE.Proprietary"],
    },
}
for answer, task in ENGINES.items():
    for engine, files in VARIANTS[answer].items():
        files += [f.format(task=task, module=engine.replace("-", "_")) for f in ENGINE_FILES]


def keep_chosen_variant(project: Path) -> None:
    """Rename the files of each chosen variant and remove those of the others."""
    for answer, choices in VARIANTS.items():
        for choice, files in choices.items():
            for name in files:
                if choice == ANSWERS[answer]:
                    (project / name).rename(project / name.replace(f".{choice}", ""))
                else:
                    (project / name).unlink()


def drop_torch(project: Path) -> None:
    """Remove torch's own lock where no chosen engine needs torch."""
    if not ANSWERS["__torch"]:
        (project / "requirements-torch.txt").unlink()


def write_env(project: Path) -> None:
    """Write ``.env`` from ``.env.example``: mode 600, a random value for every ``change-me``."""
    lines = (project / ".env.example").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line.replace("change-me", secrets.token_urlsafe(32)) for line in lines)
    file = os.open(project / ".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="utf-8", newline="\n") as env:
        env.write(text + "\n")


def main() -> None:
    """Finish the project and say what was made, answer by answer."""
    project = Path.cwd()
    keep_chosen_variant(project)
    drop_torch(project)
    write_env(project)
    print(f"\nMade {project.name} with these answers:")
    for name, value in ANSWERS.items():
        if not name.startswith("_"):
            print(f"  {name:16} {' '.join(str(value).split())}")
    print(f"\nNext: cd {project.name} && make run")


if __name__ == "__main__":
    main()
