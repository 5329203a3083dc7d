"""The ``docker`` command, against this machine's engine or the one that ``DOCKER_HOST`` names."""

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

from deploy.errors import DeployError

SECONDS = 120.0
# What the command and ssh need. Nothing else of the environment reaches them: it holds secrets,
# and names that a stack file would take for its own.
PASSED = {
    *("PATH", "HOME", "USER", "TMPDIR", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    # agents and stores of keys
    *("SSH_AUTH_SOCK", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "GNUPGHOME"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
}


class DockerError(DeployError):
    """A docker command has failed; the text is what it said last."""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables that a docker command sees."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in PASSED or name.startswith(("DOCKER_", "BUILDX_"))
    }
    return kept | dict(extra or {})


def docker(
    *arguments: str,
    text: str | None = None,
    variables: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
) -> str:
    """Run a docker command and return what it prints.

    Args:
        arguments: of the command; never a secret, they show in the list of processes.
        text: its standard input.
        variables: further environment variables.
        seconds: wall time that it has.

    Raises:
        DockerError: it has failed.
    """
    try:
        done = subprocess.run(
            ["docker", *arguments],
            check=False,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            input=text if text is not None else "",
            env=environment(variables),
            timeout=seconds,
        )
    except FileNotFoundError as error:
        raise DockerError("The docker command is missing: install Docker 25 or newer.") from error
    except subprocess.TimeoutExpired as error:
        raise DockerError(f"docker {arguments[0]} took longer than {seconds:g} s.") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
        raise DockerError(f"docker {' '.join(arguments[:2])}: {said[-2000:]}")
    return done.stdout.strip()


def inspect(kind: str, names: list[str]) -> list[dict[str, Any]]:
    """Return what the engine knows of some objects; those that do not exist are left out.

    Args:
        kind: ``service``, ``config``, ``secret``, ``task`` or ``container``.
        names: their names or ids.
    """
    if not names:
        return []
    try:
        found: list[dict[str, Any]] = json.loads(docker("inspect", "--type", kind, *names))
    except DockerError as error:
        if not any(words in str(error).lower() for words in ("no such", "not found")):
            raise
        if len(names) == 1:
            return []
        return [one for name in names for one in inspect(kind, [name])]
    return found
