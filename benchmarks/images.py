"""The CPU image: what a change of source costs, what the layers weigh, what ffmpeg weighs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from cookiecutter.main import cookiecutter

from tests.containers.conftest import BASES, CUDA_TAG, STAND_INS
from tools.environments import CACHE, ROOT, pip_setting

MEGABYTE = 1e6
BASE = STAND_INS["cpu"] if BASES == "stand-in" else "python:3.11-slim"
PIP = "pip install -q --no-cache-dir --no-deps"
# How an image could come by a decoder. The guideline asks for the first.
FFMPEG_WAYS = {
    "ffmpeg, the distribution's package": (
        "apt-get update -qq"
        " && apt-get install -y -qq --no-install-recommends ffmpeg >/dev/null 2>&1"
        " && rm -rf /var/lib/apt/lists/*"
    ),
    "imageio-ffmpeg, a static program in a wheel": f"{PIP} imageio-ffmpeg",
    "PyAV, libraries in a wheel": f"{PIP} av",
}
# The layers of the final stage, by the instruction that made them.
LAYERS = (
    (r"apt-get install .*ffmpeg", "ffmpeg and its libraries"),
    (r"^COPY /opt/venv", "Python's environment with torch"),
    (r"^COPY /opt/packages", "the other packages"),
    (r"^COPY|useradd|^WORKDIR", "ours: user, folders, source"),
)


def prepare() -> None:
    """See that the engine and the base images are there."""
    subprocess.run([str(ROOT / "tools/container-engine.sh")], check=True)
    if BASES == "stand-in":
        tool = [ROOT / "tools/stand-in-images.sh", CUDA_TAG, CACHE / "stand-ins"]
        subprocess.run([str(part) for part in tool], check=True)


def build(project: Path, *options: str) -> tuple[str, float]:
    """Build a project's image; return its name and the wall seconds."""
    started = time.perf_counter()
    environment = {
        **os.environ,
        "VERSION": "bench",
        "BUILD_FLAGS": " ".join([f"--build-arg BASE_IMAGE={BASE}", "--quiet", *options]),
        "PIP_FIND_LINKS": pip_setting("find-links"),
    }
    subprocess.run(
        ["make", "--silent", "image"],
        cwd=project,
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    return f"ghcr.io/my-org/{project.name}:bench", time.perf_counter() - started


def layers(image: str) -> dict[str, float]:
    """Return the megabytes of an image by what they are for."""
    command = ["docker", "history", "--no-trunc", "--human=false", "--format=json", image]
    history = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    sizes: dict[str, float] = {}
    for line in map(json.loads, history.splitlines()):
        created = line["CreatedBy"]
        names = [name for pattern, name in LAYERS if re.search(pattern, created)]
        name = names[0] if names else "the base image"
        sizes[name] = sizes.get(name, 0.0) + int(line["Size"]) / MEGABYTE
    return sizes


def ffmpeg_cost(command: str) -> float:
    """Return the megabytes that a way to come by ffmpeg adds to the base."""
    tag = "kodex-bench/ffmpeg"
    dockerfile = f"FROM {BASE}\nRUN {command}\n"
    subprocess.run(
        ["docker", "build", "--quiet", "--tag", tag, "-"],
        input=dockerfile,
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (newest, *_) = subprocess.run(
        ["docker", "history", "--human=false", "--format={{.Size}}", tag],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    subprocess.run(["docker", "rmi", tag], check=True, stdout=subprocess.DEVNULL)
    return int(newest) / MEGABYTE


def report() -> float:
    """Print sizes, and return the ratio of a build after a change of source to a whole build."""
    prepare()
    with tempfile.TemporaryDirectory() as folder:
        answers = {"project_slug": "bench-image"}
        made = cookiecutter(str(ROOT), no_input=True, output_dir=folder, extra_context=answers)
        project = Path(made)
        image, whole = build(project, "--no-cache")
        with (project / "main.py").open("a", encoding="utf-8") as source:
            source.write("# changed\n")
        _, again = build(project)
        sizes = layers(image)
        total = sum(sizes.values())
        print("\n| layers of the default CPU image | MB | share |\n|---|---|---|")
        for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
            print(f"| {name} | {size:.1f} | {size / total:.1%} |")
        print(f"| all | {total:.1f} | |")
        print("\n| a decoder, added to the base | MB |\n|---|---|")
        for name, command in FFMPEG_WAYS.items():
            print(f"| {name} | {ffmpeg_cost(command):.0f} |")
        subprocess.run(["docker", "rmi", image], check=True, stdout=subprocess.DEVNULL)
    return again / whole
