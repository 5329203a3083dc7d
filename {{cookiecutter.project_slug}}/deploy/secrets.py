"""Secrets by name: where they are read, and how they reach the server.

``python3 -m deploy.secrets check ENVIRONMENT`` says which are missing, without any value.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.docker import DockerError, docker, inspect
from deploy.errors import DeployError
from deploy.project import FOLDER, Target, read_env_file, read_target

STACK_LABEL = "io.kodex.stack"
SECRET_LABEL = "io.kodex.secret"  # noqa: S105 - the label's name
MANAGER_SECONDS = 60.0
TLS_CERTIFICATE = "TLS_CERTIFICATE"


@dataclass(frozen=True)
class Secret:
    """A row of ``secrets.toml``."""

    name: str
    used_by: str
    required: bool
    purpose: str


def table(values: Mapping[str, str]) -> list[Secret]:
    """Return the rows of ``secrets.toml``, as an environment or a release with these values needs.

    Raises:
        DeployError: the file is not what it should be.
    """
    file = FOLDER / "secrets.toml"
    try:
        rows = [Secret(name, **row) for name, row in tomllib.loads(file.read_text("utf-8")).items()]
    except (OSError, tomllib.TOMLDecodeError, TypeError) as error:
        raise DeployError(f"{file}: {error}.") from error
    with_tls = values.get("TLS") != "off"
    return [row for row in rows if with_tls or row.name != TLS_CERTIFICATE]


def read_values(target: Target, names: list[str]) -> dict[str, str]:
    """Return the secrets that ``SECRETS_FROM`` has, of those named; the others are left out.

    Raises:
        DeployError: the source cannot be read, or others can read it too.
    """
    source = target.values.get("SECRETS_FROM") or "env"
    kind, _, rest = source.partition(":")
    if kind == "env":
        found: Mapping[str, str] = os.environ
    elif kind == "file" and rest:
        found = read_protected(Path(rest))
    elif kind == "command" and rest:
        found = ask_manager([rest])
    elif kind == "aws" and rest:
        command = ["aws", "secretsmanager", "get-secret-value", "--secret-id", rest]
        found = ask_manager([*command, "--query", "SecretString", "--output", "text"])
    elif kind == "gcp" and rest:
        found = ask_manager(["gcloud", "secrets", "versions", "access", "latest", "--secret", rest])
    else:
        raise DeployError(
            f"SECRETS_FROM={source}: write env, file:PATH, aws:NAME, gcp:NAME or command:PROGRAM."
        )
    return {name: found[name] for name in names if found.get(name)}


def read_protected(file: Path) -> dict[str, str]:
    """Return the lines of an env file that only its owner can read.

    Raises:
        DeployError: it is not there, or others can read it.
    """
    try:
        mode = file.stat().st_mode & 0o777
    except OSError as error:
        raise DeployError(f"{file} cannot be read: {error.strerror}.") from error
    if mode & 0o077:
        raise DeployError(f"{file} can be read by others (mode {mode:03o}): chmod 600 {file}")
    return read_env_file(file)


def ask_manager(command: list[str]) -> dict[str, str]:
    """Return what a secret manager's command prints: one JSON object of names and texts.

    Raises:
        DeployError: the command is missing, fails, or prints something else.
    """
    program = command[0]
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=MANAGER_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or f"no answer in {MANAGER_SECONDS:g} s"
        raise DeployError(f"The secret manager's command {program} failed: {reason}.") from error
    if done.returncode != 0:
        # Only what it said of an error: its output may hold secrets.
        said = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise DeployError(f"The secret manager's command {program} failed: {said[0]}")
    try:
        found = json.loads(done.stdout)
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise DeployError(
            f'{program} printed no JSON object of texts, such as {{"NAME": "value"}}.'
        )
    return found


def secret_name(target: Target, name: str, value: str) -> str:
    """Return the name on the server, which changes with the value and tells nothing of it."""
    salt = f"{target.stack}\0{name}".encode()
    digest = hashlib.scrypt(value.encode(), salt=salt, n=2**14, r=8, p=1, dklen=6).hex()
    return f"{target.prefix}_{name}_{digest}"


def on_server(target: Target) -> dict[str, str]:
    """Return the secrets of this stack that the server has: those in use, else the newest."""
    ids = docker("secret", "ls", "--quiet", "--filter", f"label={STACK_LABEL}={target.stack}")
    found = sorted(inspect("secret", ids.split()), key=lambda one: str(one["CreatedAt"]))
    names = {one["Spec"]["Labels"][SECRET_LABEL]: one["Spec"]["Name"] for one in found}
    for service in inspect("service", [f"{target.stack}_{name}" for name in ("service", "proxy")]):
        for one in service["Spec"]["TaskTemplate"]["ContainerSpec"].get("Secrets") or []:
            names[one["File"]["Name"]] = one["SecretName"]
    return names


def forget(target: Target, kept: set[str]) -> None:
    """Remove the secrets of this stack that are not kept; those in use stay in any case."""
    ids = docker("secret", "ls", "--quiet", "--filter", f"label={STACK_LABEL}={target.stack}")
    for one in inspect("secret", ids.split()):
        if one["Spec"]["Name"] not in kept:
            with contextlib.suppress(DockerError):
                docker("secret", "rm", one["ID"])


def create(target: Target, wanted: Mapping[str, str], values: Mapping[str, str]) -> None:
    """Create the secrets of these names that the server lacks; values go by standard input."""
    have = set(docker("secret", "ls", "--format", "{{.Name}}").split())
    for name, full_name in wanted.items():
        if full_name in have:
            continue
        if name not in values:
            raise DeployError(f"The secret {name} was removed from the server meanwhile: give it.")
        labels = (f"{STACK_LABEL}={target.stack}", f"{SECRET_LABEL}={name}")
        options = [part for label in labels for part in ("--label", label)]
        docker("secret", "create", *options, full_name, "-", text=values[name])


def check(target: Target) -> int:
    """Print where each secret is; return 1 when a required one is missing."""
    rows = [row for row in table(target.values) if row.used_by != "workflows"]
    values = read_values(target, [row.name for row in rows])
    try:
        present = on_server(target.monitoring) | on_server(target)
        server = os.environ.get("DOCKER_HOST") or "this machine"
    except DeployError:
        present, server = {}, "no server in reach"
    source = (target.values.get("SECRETS_FROM") or "env").partition(":")[0]
    print(f"Secrets of {target.environment} (from {source}; {server}):")
    missing = []
    for row in rows:
        where = "given" if row.name in values else "on the server" if row.name in present else ""
        print(f"  {row.name:22} {where or ('MISSING' if row.required else '-'):14} {row.purpose}")
        if row.required and not where:
            missing.append(row.name)
    if missing:
        print(f"Missing: {', '.join(missing)}. See SECRETS_FROM in deploy/environments.")
    return 1 if missing else 0


def main() -> int:
    """Run ``check ENVIRONMENT``."""
    if len(sys.argv) != 3 or sys.argv[1] != "check":
        print("Usage: python3 -m deploy.secrets check staging|production", file=sys.stderr)
        return os.EX_USAGE
    try:
        return check(read_target(sys.argv[2]))
    except DeployError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
