"""The journal of releases, kept on the server as Docker configs: small, immutable, replicated.

A release writes one entry when it begins and one when it ends. A beginning without an end is a
release that was interrupted.
"""

import base64
import json
from dataclasses import asdict, dataclass

from deploy.docker import DockerError, docker, inspect
from deploy.errors import DeployError
from deploy.project import Target
from deploy.secrets import STACK_LABEL
from deploy.stack import Model, Release

BEGUN = "begun"
DONE = "done"
FAILED = "failed"
RELEASE_LABEL = "io.kodex.release"
KEPT = 20
NUMBER = "io.kodex.release.number"


@dataclass(frozen=True)
class Entry:
    """What is known of one release.

    Args:
        number: counts the releases of a stack.
        release: version, image, files and values.
        model: the stack as it was resolved.
        by: who approved it.
        at: when it began, as the server's clock says (RFC 3339).
        outcome: ``done``, ``failed``, or ``begun`` while it runs or when it was interrupted.
        note: why it failed.
    """

    number: int
    release: Release
    model: Model
    by: str
    at: str
    outcome: str
    note: str


def read(target: Target) -> list[Entry]:
    """Return the releases of a stack, oldest first."""
    ids = docker("config", "ls", "--quiet", "--filter", f"label={STACK_LABEL}={target.stack}")
    begun: dict[int, Entry] = {}
    ended: dict[int, tuple[str, str]] = {}
    for config in inspect("config", ids.split()):
        spec = config["Spec"]
        if RELEASE_LABEL not in spec["Labels"]:
            continue
        number, outcome = int(spec["Labels"][NUMBER]), spec["Labels"][RELEASE_LABEL]
        content = json.loads(base64.b64decode(spec["Data"]))
        if outcome == BEGUN:
            release = Release(**content["release"])
            at = config["CreatedAt"][:19].replace("T", " ")
            begun[number] = Entry(number, release, content["model"], content["by"], at, BEGUN, "")
        else:
            ended[number] = (outcome, content["note"])
    entries = []
    for number, entry in sorted(begun.items()):
        outcome, note = ended.get(number, (BEGUN, ""))
        entries.append(Entry(**{**entry.__dict__, "outcome": outcome, "note": note}))
    return entries


def former(entries: list[Entry], current: str, wanted: str | None = None) -> Release | None:
    """Return the release to go back to, None where there is none.

    Args:
        entries: the journal, oldest first.
        current: version that the server runs.
        wanted: version to go back to; without one, the last good one when a release was
            interrupted, else what came before the current version's first time, so that a second
            rollback goes further back.
    """
    good = [entry.release for entry in entries if entry.outcome == DONE]
    versions = [release.version for release in good]
    if wanted:
        found = [one for one in good if one.version == wanted != current]
    elif entries and entries[-1].outcome == BEGUN:
        found = good
    else:
        found = good[: versions.index(current) if current in versions else len(good)]
    return found[-1] if found else None


def begin(target: Target, release: Release, model: Model, by: str) -> int:
    """Write that a release begins; return its number.

    Raises:
        DeployError: another release has just begun.
    """
    entries = read(target)
    number = entries[-1].number + 1 if entries else 1
    content = {"release": asdict(release), "model": model, "by": by}
    try:
        _write(target, number, BEGUN, content)
    except DockerError as error:
        raise DeployError(f"Another release has begun: see status. ({error})") from error
    return number


def end(target: Target, number: int, outcome: str, note: str = "") -> None:
    """Write how a release ended, and forget the oldest ones but the last good one."""
    _write(target, number, outcome, {"note": note})
    good = max((entry.number for entry in read(target) if entry.outcome == DONE), default=number)
    ids = docker("config", "ls", "--quiet", "--filter", f"label={STACK_LABEL}={target.stack}")
    old = [
        config["ID"]
        for config in inspect("config", ids.split())
        if int(config["Spec"]["Labels"].get(NUMBER, number)) <= number - KEPT
        and config["Spec"]["Labels"][NUMBER] != str(good)
    ]
    if old:
        docker("config", "rm", *old)


def _write(target: Target, number: int, outcome: str, content: Model) -> None:
    labels = {STACK_LABEL: target.stack, RELEASE_LABEL: outcome, NUMBER: str(number)}
    options = [part for key, value in labels.items() for part in ("--label", f"{key}={value}")]
    name = f"{target.prefix}_release-{number:05d}-{outcome}"
    docker("config", "create", *options, name, "-", text=json.dumps(content))
