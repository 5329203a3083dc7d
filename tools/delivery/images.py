"""The images of the parts, built from Debian's packages."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.containers.engine import docker
from tools.environments import ROOT

FOLDER = Path(__file__).with_name("images")
DEBIAN = {"stand-in": "kodex-stand-in/base", "official": "debian:bookworm-slim"}
PYTHON = {"stand-in": "kodex-stand-in/python:3.11-slim", "official": "python:3.11-slim"}
# What each image is made of: its base and the folder that its files lie in.
PARTS = {
    "alertmanager": (DEBIAN, FOLDER),
    "blackbox": (DEBIAN, FOLDER),
    "chat": (PYTHON, ROOT / "tests" / "servers"),
    "prometheus": (DEBIAN, FOLDER),
    "proxy": (DEBIAN, FOLDER),
    "registry": (DEBIAN, FOLDER),
    "server": (DEBIAN, FOLDER),
}


@cache
def build(part: str) -> str:
    """Build the image of a part and return its name.

    Args:
        part: one of `PARTS`, such as ``proxy``.

    Raises:
        EngineError: it cannot be built.
    """
    bases, context = PARTS[part]
    base = bases[os.environ.get("KODEX_BASE_IMAGES", "stand-in")]
    name = f"kodex-delivery/{part}"
    file = FOLDER / f"{part}.Dockerfile"
    options = ("--quiet", f"--build-arg=BASE_IMAGE={base}", f"--file={file}", f"--tag={name}")
    docker("build", *options, str(context))
    return name


@contextmanager
def derived(image: str, file: Path, version: str) -> Iterator[str]:
    """Build another image on top of one, and remove it here after the block.

    Args:
        image: what it is made of.
        file: its Dockerfile, which takes BASE_IMAGE and VERSION.
        version: what its label tells.

    Raises:
        EngineError: it cannot be built.
    """
    # A name of its own: another run that removes the same image takes only its own name away.
    name = f"kodex-delivery/derived:{uuid.uuid4().hex[:12]}"
    arguments = (f"--build-arg=BASE_IMAGE={image}", f"--build-arg=VERSION={version}")
    options = ("--quiet", *arguments, f"--file={file}", f"--tag={name}")
    docker("build", *options, str(file.parent))
    try:
        yield name
    finally:
        docker("rmi", name)
