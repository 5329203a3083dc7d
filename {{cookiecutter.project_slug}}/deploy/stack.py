"""What a release puts on a server: the stack's files and values, and whether they may go there."""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.docker import DockerError, docker
from deploy.errors import DeployError
from deploy.project import FOLDER, Target
from deploy.registry import digest_of

SERVICE = "service"
PROXY = "proxy"
USERS = {SERVICE, PROXY}
PROXY_CONFIG = "haproxy.cfg"
SERVICE_SETTING = "SERVICE_"
APPUSER = "10001"
OWNER_ONLY = 0o400
EVERYBODY = 0o444
# Folders of the service whose files must outlive a container (guideline, section 8.2).
PERSISTENT = {"data/": "/srv/data", "static/": "/srv/static/tts"}
Model = dict[str, Any]


@dataclass(frozen=True)
class Release:
    """A version with all that is deployed with it, but for the secrets' values.

    Args:
        version: such as ``v1.2.3``.
        image: ``name:version@digest``.
        files: the stack's files by name, in the order in which they are merged.
        values: what the files' variables stand for.
    """

    version: str
    image: str
    files: dict[str, str]
    values: dict[str, str]

    @property
    def digest(self) -> str:
        """The image's digest, without its name."""
        return self.image.partition("@")[2]

    @property
    def stack_files(self) -> list[str]:
        """The files that Docker merges."""
        return [name for name in self.files if name != PROXY_CONFIG]


def read_release(target: Target, version: str, image: str) -> Release:
    """Return a release of the files as they stand in ``deploy/``.

    Raises:
        DeployError: a file is missing, or the proxy's image is in no registry.
    """
    names = (target.values.get("STACK_FILES") or "").split() or default_files()
    if any("/" in name for name in names):
        raise DeployError("STACK_FILES names files of deploy/ itself, without a folder.")
    if (target.values.get("TLS") or "on") not in {"on", "off"}:
        raise DeployError("TLS is on or off.")
    for name in ("START_SECONDS", "MONITOR_SECONDS", "WATCH_SECONDS"):
        target.seconds(name, 0)
    proxy = target.values.get("PROXY_IMAGE")
    if not proxy:
        raise DeployError("PROXY_IMAGE is missing in the environment's file.")
    try:
        files = {name: (FOLDER / name).read_text("utf-8") for name in names}
        files[PROXY_CONFIG] = (FOLDER / "proxy" / PROXY_CONFIG).read_text("utf-8")
    except OSError as error:
        raise DeployError(f"{error.filename} cannot be read: {error.strerror}.") from error
    config = hashlib.sha256(files[PROXY_CONFIG].encode()).hexdigest()[:12]
    values = {
        **target.values,
        "VERSION": version,
        "IMAGE": image,
        "PROXY_IMAGE": pinned(proxy),
        "HAPROXY_CONFIG": f"{target.prefix}_haproxy_{config}",
    }
    return Release(version, image, files, values)


def default_files() -> list[str]:
    """Return the stack's files: the common one, then every other one by its name."""
    return ["stack.yaml", *sorted(file.name for file in FOLDER.glob("stack.*.yaml"))]


def pinned(image: str) -> str:
    """Return an image with its digest, so that every server runs the same."""
    if "@" in image:
        return image
    digest = digest_of(image)
    if digest is None:
        raise DeployError(f"PROXY_IMAGE: there is no image {image}.")
    return f"{image}@{digest}"


def fragment(release: Release, secrets: Mapping[str, str], users: Mapping[str, str]) -> Model:
    """Return what is added to the stack's files: settings of the service, and secrets.

    Args:
        release: what is deployed.
        secrets: name of each secret -> its name on the server.
        users: name of each secret -> ``service`` or ``proxy``.
    """
    settings = {
        name.removeprefix(SERVICE_SETTING): value.replace("$", "$$")  # no variable
        for name, value in release.values.items()
        if name.startswith(SERVICE_SETTING) and value
    }
    services: dict[str, Model] = {SERVICE: {"environment": settings}, PROXY: {}}
    for name in secrets:
        mount: Model = {"source": name, "target": name, "mode": EVERYBODY}
        if users[name] == SERVICE:
            mount |= {"uid": APPUSER, "mode": OWNER_ONLY}
        services[users[name]].setdefault("secrets", []).append(mount)
    external = {name: {"external": True, "name": full} for name, full in secrets.items()}
    label = {"labels": {"io.kodex.version": release.version, "io.kodex.digest": release.digest}}
    services[SERVICE]["deploy"] = label
    return {"version": "3.13", "services": services, "secrets": external}


@contextmanager
def written(release: Release, extra: Model) -> Iterator[list[str]]:
    """Write the stack's files into a folder of their own; yield the options that name them."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in release.files.items():
            (Path(folder) / name).write_text(text, "utf-8")
        (Path(folder) / "release.yaml").write_text(json.dumps(extra), "utf-8")  # JSON is YAML
        yield [str(Path(folder) / name) for name in (*release.stack_files, "release.yaml")]


def resolve(target: Target, release: Release, extra: Model) -> Model:
    """Return the stack with its files merged and its variables filled in.

    Raises:
        DeployError: the files are no valid stack.
    """
    with written(release, extra) as files:
        options = [part for file in files for part in ("--file", file)]
        command = ("--project-name", target.stack, *options, "config", "--format", "json")
        try:
            model: Model = json.loads(docker("compose", *command, variables=release.values))
        except DockerError as error:
            said = str(error).splitlines()[-1]
            raise DeployError(f"The files of deploy/ are no valid stack: {said}") from error
    tidied: Model = tidy(model)
    return tidied


def tidy(model: Any) -> Any:
    """Return a model without the places of temporary files, which differ each time."""
    if isinstance(model, dict):
        return {key: tidy(value) for key, value in model.items() if key != "file"}
    return [tidy(item) for item in model] if isinstance(model, list) else model


def check_volumes(model: Model) -> list[tuple[str, str]]:
    """Return the volumes of the folders whose files must last, as (folder, volume).

    Raises:
        DeployError: one of the folders is on none.
    """
    mounts = {one["target"]: one for one in model["services"][SERVICE].get("volumes", [])}
    found = []
    for folder, place in PERSISTENT.items():
        mount = mounts.get(place) or mounts.get(place.removesuffix("/tts")) or {}
        if mount.get("type") not in {"volume", "bind"} or not mount.get("source"):
            raise DeployError(
                f"{folder} is not on a persistent volume: its files would be lost with the "
                f"container. Mount one at {place} in deploy/stack.yaml."
            )
        found.append((folder, str(mount["source"])))
    return found


def deploy(target: Target, release: Release, extra: Model) -> None:
    """Hand the stack to the swarm, which updates what has changed, and return at once.

    Raises:
        DeployError: the swarm refuses it.
    """
    with written(release, extra) as files:
        options = [part for file in files for part in ("--compose-file", file)]
        # Images are named by digest already: no look-up, so no registry is needed to go back.
        flags = ("--detach=true", "--with-registry-auth", "--resolve-image=never")
        docker("stack", "deploy", *flags, *options, target.stack, variables=release.values)
