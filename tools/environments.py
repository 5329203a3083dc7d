"""Makes the environments of rendered projects, once for each set of requirements."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("KODEX_CACHE", ROOT / ".cache"))
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
TORCH_FILE = "requirements-torch.txt"


def uv(*arguments: str) -> None:
    """Run uv, which takes its package sources from pip's own configuration.

    Raises:
        subprocess.CalledProcessError: uv has failed, and has said why.
    """
    environment = {**sources(), **os.environ}
    subprocess.run([sys.executable, "-m", "uv", *arguments], check=True, env=environment)


def sources() -> dict[str, str]:
    """Return pip's package sources in uv's words; torch's own index where no folder is named."""
    found = {
        "UV_DEFAULT_INDEX": pip_setting("index-url"),
        "UV_FIND_LINKS": " ".join(pip_setting("find-links").split()),
    }
    named = {name: value for name, value in found.items() if value}
    return named if "UV_FIND_LINKS" in named else named | {"UV_INDEX": TORCH_INDEX}


def pip_setting(name: str) -> str:
    """Return a setting of pip, from its environment or its configuration; empty without one."""
    variable = os.environ.get(f"PIP_{name.upper().replace('-', '_')}")
    if variable:
        return variable
    command = [sys.executable, "-m", "pip", "config", "get", f"global.{name}"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def environment(requirements: Iterable[Path]) -> Path:
    """Return the Python of an environment with these locked requirements, made when it is missing.

    Args:
        requirements: hash-locked files, complete without dependencies.
    """
    files = sorted({file.read_bytes(): file for file in requirements}.values())
    key = hashlib.sha256(b"".join(sorted(file.read_bytes() for file in files))).hexdigest()[:16]
    folder = CACHE / "environments" / key
    done = folder / ".complete"
    with alone_with(folder):
        if done.exists():
            return folder / "bin/python"
        uv("venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        arguments = [part for file in files for part in ("-r", str(file))]
        target = ["--python", str(folder / "bin/python"), "--no-deps", "--require-hashes"]
        uv("pip", "install", "--quiet", *target, *arguments)
        done.touch()
    return folder / "bin/python"


def alone_with(folder: Path) -> FileLock:
    """Return a lock that keeps other processes from making the same folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(folder.with_suffix(".lock"))


def runtime_files(project: Path) -> list[Path]:
    """Return a rendered project's requirement files without those of its tools."""
    names = (TORCH_FILE, "requirements.txt")
    return [project / name for name in names if (project / name).exists()]
