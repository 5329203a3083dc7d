"""What lies in an image: every file of every layer that ships."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

LARGE = 50_000_000
# Libraries that are larger, by the packages that they belong to: torch, CTranslate2, numba, ffmpeg.
KNOWN_LARGE = re.compile(
    r"/(libtorch_cpu|libctranslate2-\w+|libllvmlite|libLLVM-?[\d.]*|ctranslate2/_ext\.[\w-]+)"
    r"\.so[\d.]*$"
)
# What CUDA is made of, in the GPU image alone.
CUDA_LARGE = re.compile(
    r"/site-packages/(nvidia/.+\.so|torch/lib/[\w-]+\.so|triton/_C/libtriton\.so|triton/.+/bin/\w+)"
    r"[\d.]*$"
)
WEIGHTS = re.compile(r"\.(pt|pth|bin|safetensors|gguf|onnx|jit|ckpt|h5|msgpack)$")
# Files with such names that packages hold as part of their code, none of them a model of ours:
# voice activity detectors, examples of three nodes, a test; and Python's own path files.
CODE_DATA = re.compile(
    r"/site-packages/(silero_vad/data/|faster_whisper/assets/|onnxruntime/datasets/"
    r"|torch/bin/test_|[\w-]+\.pth$)"
)
CODE_DATA_LARGEST = 5_000_000
UNWANTED = {
    "compiler": re.compile(
        r"(^|/)bin/(\S+-linux-gnu-)?(gcc|g\+\+|c\+\+|cc|ld|as|make|clang|rustc)(-\d+)?$"
    ),
    "package list": re.compile(r"^var/lib/apt/lists/.+Packages"),
    "package": re.compile(r"\.(deb|whl)$"),
    "cache of pip or uv": re.compile(r"(^|/)\.cache/(pip|uv)/"),
    "secret": re.compile(r"(^|/)\.env(\.|$)|(^|/)id_(rsa|ed25519)$|\.netrc$"),
    "repository": re.compile(r"(^|/)\.git/"),
    "test": re.compile(r"^srv/tests/"),
}
# pip's own installer for environments is part of Python.
BUNDLED = re.compile(r"ensurepip/_bundled/|usr/share/python-wheels/")


@dataclass(frozen=True)
class File:
    """A file in a layer; size in bytes."""

    layer: int
    path: str
    size: int


def layers(image: str, folder: Path) -> list[Path]:
    """Return the layers of an image, base first, as tar files unpacked into a folder."""
    archive = folder / "image.tar"
    subprocess.run(["docker", "save", "--output", str(archive), image], check=True)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    archive.unlink()
    (manifest,) = json.loads((folder / "manifest.json").read_text("utf-8"))
    return [folder / name for name in manifest["Layers"]]


def holding(tars: list[Path], text: str) -> list[str]:
    """Return the files of all layers whose content has a text; layers may be compressed."""
    found = []
    for path in tars:
        with tarfile.open(path) as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isfile() else None
                if content and member.size < LARGE and text.encode() in content.read():
                    found.append(member.name)
    return found


def files(tars: list[Path]) -> Iterator[File]:
    """Yield every regular file of every layer."""
    for number, path in enumerate(tars):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isfile():
                    yield File(number, str(PurePosixPath(member.name)), member.size)


def problems(found: list[File], *, cuda: bool) -> list[str]:
    """Return a line for each file that must not be in an image; with `cuda` its own may be big."""
    lines = []
    for file in found:
        known = KNOWN_LARGE.search(file.path) or (cuda and CUDA_LARGE.search(file.path))
        if file.size > LARGE and not known:
            lines.append(f"large: {file.path} ({file.size / 1e6:.0f} MB)")
        is_code = CODE_DATA.search(file.path) and file.size < CODE_DATA_LARGEST
        if WEIGHTS.search(file.path) and not is_code:
            lines.append(f"weights: {file.path}")
        for what, pattern in UNWANTED.items():
            if pattern.search(file.path) and not BUNDLED.search(file.path):
                lines.append(f"{what}: {file.path}")
    return lines
