"""Signatures of images where there is no keyless signing: Debian's cosign, and a key pair."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.containers.engine import docker
from tools.delivery.images import DEBIAN, FOLDER
from tools.environments import CACHE

DOCKERFILE = Path(__file__).with_name("actions") / "cosign-installer" / "Dockerfile"
IMAGE = "kodex-delivery/cosign"


def signing(keys: Path) -> dict[str, str]:
    """Return the variables that the stand-in for cosign-installer reads.

    Args:
        keys: folder of the key pair, which is made when the folder is not there.

    Raises:
        EngineError: cosign cannot be had.
    """
    program, password = cosign(), {"COSIGN_PASSWORD": ""}
    if not keys.exists():
        keys.mkdir()
        make = [str(program), "generate-key-pair"]
        variables = {**os.environ, **password}
        subprocess.run(make, cwd=keys, check=True, capture_output=True, env=variables)
    return {**password, "STAND_IN_COSIGN": str(program), "STAND_IN_COSIGN_KEYS": str(keys)}


def cosign() -> Path:
    """Return the cosign of Debian's packages, taken out of an image of them.

    Raises:
        EngineError: the image cannot be built.
    """
    program = CACHE / "cosign"
    if not program.exists():
        base = DEBIAN[os.environ.get("KODEX_BASE_IMAGES", "stand-in")]
        options = (f"--build-arg=BASE_IMAGE={base}", f"--file={DOCKERFILE}", f"--tag={IMAGE}")
        docker("build", "--quiet", *options, str(FOLDER))
        container = docker("create", IMAGE)
        try:
            docker("cp", f"{container}:/usr/bin/cosign", str(program))
        finally:
            docker("rm", container)
    return program
