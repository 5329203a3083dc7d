"""What is released, and where: the names of this project and the settings of an environment."""

import hashlib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.errors import DeployError

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "deploy"
ENVIRONMENTS = ("staging", "production")
VERSION = re.compile(r"v\d+\.\d+\.\d+([-.][0-9A-Za-z.-]+)?|sha-[0-9a-f]{40}")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Docker's names end at 63 characters; the longest that is made of a stack's has 12 more.
LONGEST_PROJECT = 40
LONGEST_PREFIX = 20


@dataclass(frozen=True)
class Target:
    """An environment of this project.

    Args:
        environment: ``staging`` or ``production``.
        project: short name of the project.
        image: name of its image, without tag.
        values: the environment's settings, none of them secret.
    """

    environment: str
    project: str
    image: str
    values: dict[str, str]

    @property
    def stack(self) -> str:
        """Name of the Docker stack."""
        return f"{self.project[:LONGEST_PROJECT]}-{self.environment}"

    @property
    def prefix(self) -> str:
        """Beginning of the names of this stack's secrets and configs: short, and its own."""
        digest = hashlib.sha256(self.stack.encode()).hexdigest()[:6]
        return f"{self.stack[:LONGEST_PREFIX]}-{digest}"

    @property
    def monitoring(self) -> "Target":
        """The stack that watches this one, with its own names."""
        return replace(self, environment=f"{self.environment}-monitoring")

    def seconds(self, name: str, default: int) -> int:
        """Return a setting that is a whole number of seconds.

        Raises:
            DeployError: it is none.
        """
        value = self.values.get(name) or str(default)
        if not value.isdecimal():
            raise DeployError(f"{name}: {value!r} is not a whole number of seconds.")
        return int(value)


def read_target(environment: str) -> Target:
    """Return an environment, from ``project.env`` and ``environments/``.

    A variable of the process wins over the file's line of the same name.

    Raises:
        DeployError: there is no such environment, or a file is missing or malformed.
    """
    if environment not in ENVIRONMENTS:
        raise DeployError(f"{environment!r} is no environment: {' or '.join(ENVIRONMENTS)}.")
    names = read_env_file(FOLDER / "project.env")
    values = read_env_file(FOLDER / "environments" / f"{environment}.env")
    values = {name: os.environ.get(name) or value for name, value in values.items()}
    # A registry of another name than the project's own: a mirror, a stand-in in a test.
    image = os.environ.get("IMAGE") or names.get("IMAGE")
    project = names.get("PROJECT")
    if not image or not project:
        raise DeployError("deploy/project.env needs PROJECT and IMAGE.")
    return Target(environment, project, image, values)


def check_version(version: str) -> str:
    """Return a version that always means the same image.

    Raises:
        DeployError: it is a tag that may move.
    """
    if not VERSION.fullmatch(version):
        raise DeployError(
            f"{version!r} is no version: a tag that may move is never released. "
            "Name a version such as v1.2.3, or sha- and the 40 digits of a commit."
        )
    return version


def read_env_file(file: Path) -> dict[str, str]:
    """Return the ``NAME=value`` lines of a file; values may stand in quotes.

    Raises:
        DeployError: the file cannot be read, or a line is something else.
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise DeployError(f"{file} cannot be read: {reason}.") from error
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        name, separator, value = content.partition("=")
        if not separator or not NAME.fullmatch(name):
            raise DeployError(f"{file}, line {number}: this is not NAME=value.")
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            # A double-quoted value may hold line ends: a certificate does.
            quote, value = value[0], value[1:-1]
            value = value.replace("\\n", "\n") if quote == '"' else value
        found[name] = value
    return found
