"""Completes the environment of the process, from secret files and from ``.env``.

Settings are read from the environment; libraries look for their keys nowhere else.
"""

import os
import re
from pathlib import Path

from dotenv import load_dotenv

from app.core.config import ROOT, SettingsError

ENV_FILE = ROOT / ".env"
SECRETS_DIR = Path("/run/secrets")
SECRETS_DIR_VARIABLE = "SECRETS_DIR"
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


def complete_environment() -> None:
    """Set the variables that are missing: from secret files first, then from ``.env``.

    Secret files are what Docker and Kubernetes mount in ``/run/secrets`` (another folder:
    ``$SECRETS_DIR``): one for each variable, with the variable's name. Other names are left alone.
    A variable that is empty counts as missing there.

    Raises:
        SettingsError: a file cannot be read; the text names it, and never what it holds.
    """
    for file in secret_files(Path(os.environ.get(SECRETS_DIR_VARIABLE) or SECRETS_DIR)):
        if not os.environ.get(file.name):
            set_variable(file)
    try:
        load_dotenv(ENV_FILE)
    except (OSError, ValueError) as error:
        raise unreadable(ENV_FILE, error) from None


def secret_files(folder: Path) -> list[Path]:
    """Return what has a variable's name in a folder, which may be missing.

    Raises:
        SettingsError: the folder cannot be listed.
    """
    try:
        return sorted(file for file in folder.iterdir() if VARIABLE.fullmatch(file.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(folder, error) from None


def set_variable(file: Path) -> None:
    """Set a variable to what its secret file holds, without the line end that editors add.

    Raises:
        SettingsError: the file cannot be read, or no variable can hold its bytes.
    """
    try:
        if value := file.read_bytes().decode().rstrip("\r\n"):
            os.environ[file.name] = value
    except (OSError, ValueError) as error:
        # Cut off from its cause, which has the bytes with it.
        raise unreadable(file, error) from None


def unreadable(path: Path, error: OSError | ValueError) -> SettingsError:
    """Return the error about a file or folder, without anything of what it holds."""
    if isinstance(error, OSError):
        cause, remedy = error.strerror, f"let uid {os.getuid()} read it, or take it away"
    else:
        cause, remedy = "not UTF-8, or a NUL in it", "write plain text there"
    return SettingsError(f"{path} cannot be read ({cause}): {remedy}.")
