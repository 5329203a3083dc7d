"""What a release will change, for a person to read and for a later ``apply`` to hold it against."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deploy import history, secrets, server, stack
from deploy.docker import docker
from deploy.errors import DeployError
from deploy.project import Target
from deploy.stack import Model, Release

NONE = "none"
SHORT = 19  # characters of a digest: sha256: and 12 digits
# Told apart in the plan's head already.
LEAVES_OUT = ("service.image", "SERVICE_VERSION", "io.kodex.version", "io.kodex.digest")


@dataclass(frozen=True)
class Plan:
    """A release and what it meets on the server. Holds no secret.

    Args:
        environment: ``staging`` or ``production``.
        server: its address and the name of its node.
        stack: name of the stack.
        version, digest: what will run.
        current_version, current_digest: what runs, empty before the first release.
        volumes: (folder, volume, ``kept`` or ``new``).
        secrets: (name, what will be done).
        changes: (setting of the stack, before, after).
        notes: what a person should know.
        server_state, content: change when the server or the files do.
    """

    environment: str
    server: str
    stack: str
    version: str
    digest: str
    current_version: str
    current_digest: str
    volumes: list[list[str]]
    secrets: list[list[str]]
    changes: list[list[str]]
    notes: list[str]
    server_state: str
    content: str
    order: str


@dataclass(frozen=True)
class Prepared:
    """A plan with what it takes to carry it out.

    Args:
        secret_names: name -> name on the server.
        secret_values: those that were given.
        previous: the last release that came to its end, to go back to.
        present_names: the secrets that the server's services use now, as secret_names has them.
    """

    plan: Plan
    release: Release
    extra: Model
    model: Model
    secret_names: dict[str, str]
    previous: Release | None
    present_names: dict[str, str]
    secret_values: dict[str, str] = field(repr=False)


def prepare(target: Target, release: Release) -> Prepared:
    """Look at the server, and say what the release would change there.

    Raises:
        DeployError: it must not be done: a folder without volume, a missing secret, ...
    """
    node = server.node_name()
    rows = [row for row in secrets.table(release.values) if row.used_by in stack.USERS]
    values = secrets.read_values(target, [row.name for row in rows])
    present = secrets.on_server(target)
    names = {}
    for row in rows:
        if row.name in values:
            names[row.name] = secrets.secret_name(target, row.name, values[row.name])
        elif row.name in present:
            names[row.name] = present[row.name]
    missing = [row.name for row in rows if row.required and row.name not in names]
    if missing:
        raise DeployError(
            f"Secrets are missing: {', '.join(missing)}. "
            f"make secrets-check ENVIRONMENT={target.environment} says what each is for."
        )
    users = {row.name: row.used_by for row in rows}
    extra = stack.fragment(release, names, users)
    model = stack.resolve(target, release, extra)
    volumes = stack.check_volumes(model)

    entries = history.read(target)
    state = server.read_service(target, stack.SERVICE)
    labels = state.service["Spec"]["Labels"] if state else {}
    current = str(labels.get(server.VERSION_LABEL, ""))
    running = [
        entry
        for entry in entries
        if entry.release.version == current and entry.outcome != history.FAILED
    ]
    content = json.dumps([asdict(release), names], sort_keys=True)
    plan = Plan(
        environment=target.environment,
        server=f"{server.address()} ({node})",
        stack=target.stack,
        version=release.version,
        digest=release.digest,
        current_version=current,
        current_digest=str(labels.get(server.DIGEST_LABEL, "")),
        volumes=[[folder, volume, _volume_state(model, volume)] for folder, volume in volumes],
        secrets=[[name, _secret_state(name, names, values, present)] for name in names],
        changes=differences(running[-1].model if running else {}, model),
        notes=_notes(model, entries, bool(running), state),
        server_state=server.fingerprint(target),
        content=hashlib.sha256(content.encode()).hexdigest(),
        order=_order(model),
    )
    good = [entry.release for entry in entries if entry.outcome == history.DONE]
    previous = good[-1] if good else None
    return Prepared(plan, release, extra, model, names, previous, present, values)


def differences(old: Model, new: Model) -> list[list[str]]:
    """Return the settings that differ, as [path, before, after]; nothing before a first release."""
    if not old:
        return []
    before, after = _leaves(old), _leaves(new)
    return [
        [path, before.get(path, NONE), after.get(path, NONE)]
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path) and not path.endswith(LEAVES_OUT)
    ]


def show(plan: Plan) -> str:
    """Return a plan as text."""
    old = plan.current_version or "nothing"
    old_digest = plan.current_digest[:SHORT] or NONE
    lines = [
        f"Plan: {plan.version} to {plan.environment}",
        "",
        f"  server    {plan.server}",
        f"  stack     {plan.stack}",
        f"  version   {old} -> {plan.version}",
        f"  digest    {old_digest} -> {plan.digest[:SHORT]}",
        f"  update    {plan.order}, one replica at a time",
        *(f"  volume    {folder} on {volume} ({what})" for folder, volume, what in plan.volumes),
        *(f"  secret    {name} ({what})" for name, what in plan.secrets),
    ]
    if plan.current_version:
        same = plan.current_digest == plan.digest and plan.current_version == plan.version
        none = "Changes: none" if same else "Changes: none but the version"
        lines += ["", "Changes" if plan.changes else none]
        lines += [f"  {path}: {before} -> {after}" for path, before, after in plan.changes]
    return "\n".join([*lines, *(f"\nNote: {note}" for note in plan.notes)])


def save(plan: Plan, file: Path) -> None:
    """Write a plan as JSON.

    Raises:
        DeployError: the file cannot be written.
    """
    try:
        file.write_text(json.dumps(asdict(plan)) + "\n", "utf-8")
    except OSError as error:
        raise DeployError(f"{file} cannot be written: {error.strerror}.") from error


def check_unchanged(plan: Plan, file: Path) -> None:
    """Hold a plan against the one that was approved.

    Raises:
        DeployError: something has changed since, or the file is no plan.
    """
    try:
        approved = json.loads(file.read_text("utf-8"))
        states = [(approved[name], getattr(plan, name)) for name in ("server_state", "content")]
        same = [approved[name] for name in ("environment", "version", "digest")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeployError(f"{file} is no plan: make one with plan --output {file}.") from error
    again = "Make a new plan, and have it approved."
    if same != [plan.environment, plan.version, plan.digest]:
        raise DeployError(f"{file} is the plan of another release ({' '.join(same)}). {again}")
    (server_then, server_now), (content_then, content_now) = states
    if server_then != server_now:
        raise DeployError(f"The server has changed since the plan was made. {again}")
    if content_then != content_now:
        raise DeployError(f"The files or secrets have changed since the plan was made. {again}")


def _leaves(model: Any, path: str = "") -> dict[str, str]:
    """Return every value of a model by its path; entries of a list, by their name if any."""
    if isinstance(model, dict):
        items = model.items()
    elif isinstance(model, list):
        items = {_key(item, place): item for place, item in enumerate(model)}.items()
    else:
        return {path.removeprefix("services."): str(model)}
    found: dict[str, str] = {}
    for key, value in items:
        found |= _leaves(value, f"{path}.{key}" if path else str(key))
    return found


def _key(item: Any, place: int) -> str:
    if isinstance(item, dict):
        return str(item.get("target", item.get("source", place)))
    return str(place)


def _order(model: Model) -> str:
    update = model["services"][stack.SERVICE]["deploy"].get("update_config", {})
    return str(update.get("order", "stop-first"))


def _volume_state(model: Model, volume: str) -> str:
    full_name = model.get("volumes", {}).get(volume, {}).get("name", volume)
    names = docker("volume", "ls", "--format", "{{.Name}}").split()
    return "kept" if full_name in names or volume.startswith("/") else "new"


def _secret_state(
    name: str, names: dict[str, str], values: dict[str, str], present: dict[str, str]
) -> str:
    if name not in values:
        return "as it is on the server"
    if name not in present:
        return "new"
    return "unchanged" if names[name] == present[name] else "a new value"


def _notes(
    model: Model,
    entries: list[history.Entry],
    known: bool,
    state: server.ServiceState | None,
) -> list[str]:
    notes = []
    if entries and entries[-1].outcome == history.BEGUN:
        entry = entries[-1]
        notes.append(f"the release of {entry.release.version} ({entry.at}) was interrupted.")
    if state and not known:
        notes.append("the server runs a version that the journal does not know.")
    replicas = int(model["services"][stack.SERVICE]["deploy"].get("replicas", 2))
    if _order(model) == "stop-first" and replicas < 2:
        notes.append("with one replica, stop-first interrupts the service.")
    return notes
