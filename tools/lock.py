"""Locks the requirements of every variant of the template, with hashes: ``make lock``.

Writes the project's ``requirements`` folder:

* ``<device>-<stt>-<llm>-<tts>.txt``: what the service imports, but for the torch layer.
* ``torch-<device>.txt``: torch and, on gpu, CUDA. Gigabytes that change only with torch.
* ``dev.txt`` and ``dev-supertonic.txt``: the tools of the ``dev`` group.

and beside it ``requirements-template.txt``: what merges updates of the template.

All variants of a device are first resolved as one, so that a package they share has one
version. Torch's CPU build comes from pip's ``find-links`` folders where there are any, else
from PyTorch's own index.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from cookiecutter import generate, prompt, utils
from jinja2 import FileSystemLoader

from kodex_answers import CHOICES

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "{{cookiecutter.project_slug}}" / "requirements"
HEADER = "# Locked by `make lock`; do not edit.\n"
TORCH_LAYER = re.compile(r"(torch|triton|cuda-[a-z]+|nvidia-.+-cu12)==")
ENGINES = ("stt_engine", "llm_engine", "tts_engine")


def main() -> None:
    """Write every requirement file."""
    TARGET.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        supersets = [lock_device(device, Path(folder)) for device in CHOICES["device"]]
        limits = [f"--constraint={superset}" for superset in supersets]
        for name, tts in (("dev", "openai-compatible"), ("dev-supertonic", "supertonic")):
            project = Path(folder) / f"cpu-openai-whisper-transformers-{tts}"
            write(name, compiled(project, "--group=pyproject.toml:dev", *limits))
        update = compiled(project, "--group=pyproject.toml:template")
        (TARGET.parent / "requirements-template.txt").write_text(HEADER + update, "utf-8")


def lock_device(device: str, folder: Path) -> Path:
    """Write the torch and runtime files of one device; return all its variants locked as one."""
    projects = [rendered(device, engines, folder) for engines in engine_sets()]
    source = torch_source() if device == "cpu" else []
    files = [f"{project}/pyproject.toml" for project in projects]
    groups = [f"--group={file}:dev" for file in files]
    superset = folder / f"{device}.txt"
    superset.write_text(compiled(projects[0], *files, *groups, *source), "utf-8")
    write(f"torch-{device}", "".join(split(superset.read_text("utf-8"))[0]))
    for project in projects:
        locked = compiled(project, "pyproject.toml", f"--constraint={superset}", *source)
        if "\ntorch==" in locked:
            locked = "".join(split(locked)[1])
        write(project.name, locked)
    return superset


def engine_sets() -> list[dict[str, str]]:
    """Return every combination of engines as answers."""
    sets = itertools.product(*(CHOICES[name] for name in ENGINES))
    return [dict(zip(ENGINES, engines, strict=True)) for engines in sets]


def rendered(device: str, engines: dict[str, str], folder: Path) -> Path:
    """Render the ``pyproject.toml`` of one variant; return its folder."""
    answers = {"device": device, **engines}
    context = generate.generate_context(str(ROOT / "cookiecutter.json"), extra_context=answers)
    context["cookiecutter"] = prompt.prompt_for_config(context, no_input=True)
    environment = utils.create_env_with_context(context)
    environment.loader = FileSystemLoader(TARGET.parent)
    project = folder / "-".join(answers.values())
    project.mkdir()
    text = environment.get_template("pyproject.toml").render(**context)
    (project / "pyproject.toml").write_text(text, "utf-8")
    return project


def compiled(project: Path, *arguments: str) -> str:
    """Resolve requirements in a project's folder, for every platform; return them with hashes."""
    options = "--quiet --universal --fork-strategy=fewest --python-version=3.11"
    output = "--generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links"
    command = ["uv", "pip", "compile", *options.split(), *output.split(), *arguments]
    return subprocess.run(
        command, cwd=project, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def torch_source() -> list[str]:
    """Return uv's options that say where torch's CPU build comes from."""
    query = [sys.executable, "-m", "pip", "config", "get", "global.find-links"]
    folders = (
        os.environ.get("PIP_FIND_LINKS")
        or subprocess.run(query, check=False, capture_output=True, text=True).stdout
    )
    return [f"--find-links={folder}" for folder in folders.split()] or ["--torch-backend=cpu"]


def split(locked: str) -> tuple[list[str], list[str]]:
    """Return the requirements of the torch layer, and the others."""
    requirements = re.split(r"^(?=\S)", locked, flags=re.MULTILINE)
    torch = [text for text in requirements if TORCH_LAYER.match(text)]
    return torch, [text for text in requirements if text not in torch]


def write(name: str, locked: str) -> None:
    """Write one requirement file."""
    (TARGET / f"{name}.txt").write_text(HEADER + locked, "utf-8")


if __name__ == "__main__":
    main()
