"""Compose files and swarm stacks: what is deployed together, merged and filled in."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from tests.guideline import yaml_text
from tests.guideline.dockerfile import expand
from tests.guideline.yaml_text import Map, Seq, Text

# Lists that an overlay replaces; it adds to the others.
REPLACED = {"command", "entrypoint", "test"}
# Folders of a server that do not outlive it.
PASSING = re.compile(r"(?:/tmp|/var/tmp|/dev/shm|/run|/var/run)(?:/|$)")
HOST_PATH = re.compile(r"(?:[./~]|[A-Za-z]:[\\/])")


@dataclass(frozen=True)
class Mount:
    """A mount; ``kind`` is volume, bind, tmpfs or anonymous."""

    kind: str
    source: str
    target: str
    file: str
    line: int

    def covers(self, folder: str) -> bool:
        """Tell whether a folder of the container lies on it."""
        own = self.target.rstrip("/") or "/"
        return folder == own or folder.startswith(own.rstrip("/") + "/")


@dataclass
class Service:
    """A service of a deployment, with its variables filled in."""

    name: str
    content: Map
    volumes: Map

    @property
    def file(self) -> str:
        """Where it stands."""
        return self.content.file

    @property
    def line(self) -> int:
        """Where it begins."""
        return self.content.line

    @property
    def image(self) -> str:
        """The image that it runs."""
        return str(self.content.get("image", ""))

    @property
    def has_command(self) -> bool:
        """Tell whether it runs something else than what its image is for."""
        return bool(self.content.get("command") or self.content.get("entrypoint"))

    @property
    def deploy(self) -> Map:
        """How a swarm runs it."""
        return self.content.map("deploy")

    @property
    def environment(self) -> dict[str, Text]:
        """Its variables, written either way."""
        return _named(self.content.get("environment"))

    def place_of(self, *keys: str) -> tuple[str, int]:
        """Return the place of the innermost of nested keys that is there."""
        holder, place = self.content, (self.file, self.line)
        for key in keys:
            if key not in holder:
                break
            place = holder.place_of(key)
            holder = holder.map(key)
        return place

    def mounts(self) -> Iterator[Mount]:
        """Yield what is mounted in it."""
        tmpfs = self.content.get("tmpfs")
        for one in tmpfs if isinstance(tmpfs, Seq) else [tmpfs]:
            if isinstance(one, Text) and one:
                yield Mount("tmpfs", "", one.split(":")[0], one.file, one.line)
        volumes = self.content.get("volumes")
        for one in volumes if isinstance(volumes, Seq) else []:
            yield self._mount(one)

    def mount_at(self, folder: str) -> Mount | None:
        """Return the mount that a folder lies on: the innermost one, a tmpfs before others."""
        found = [one for one in self.mounts() if one.covers(folder)]
        return max(found, key=lambda one: (len(one.target), one.kind == "tmpfs"), default=None)

    def _mount(self, one: Any) -> Mount:
        if isinstance(one, Map):
            kind, source = str(one.get("type", "volume")), str(one.get("source", ""))
            kind = kind if source or kind == "tmpfs" else "anonymous"
            target, line = str(one.get("target", "")), one.line
        else:
            parts = re.split(r":(?![\\])", str(one))
            source, target = (parts[0], parts[1]) if len(parts) > 1 else ("", parts[0])
            kind, line = "volume" if source else "anonymous", one.line
        if kind == "volume" and HOST_PATH.match(source):
            kind = "bind"
        if kind == "bind" and PASSING.match(source):
            kind = "tmpfs"
        if kind == "volume":
            options = self.volumes.map(source).map("driver_opts")
            in_memory = "tmpfs" in {options.get("type"), options.get("device")}
            kind = "tmpfs" if in_memory else kind
        return Mount(kind, source, target, one.file, line)


@dataclass
class Deployment:
    """Files that are deployed together, merged.

    Args:
        files: in the order of merging.
        services: by name.
        values: of the environment that it is deployed to.
    """

    files: tuple[str, ...]
    services: dict[str, Service]
    values: Mapping[str, str]

    @property
    def file(self) -> str:
        """The file that the others are merged over."""
        return self.files[0]

    @property
    def is_stack(self) -> bool:
        """Tell whether it is for a swarm."""
        name = PurePosixPath(self.file)
        named = re.search(r"stack|swarm", name.name) or "deploy" in name.parts[:-1]
        keys = {key for service in self.services.values() for key in service.deploy}
        return bool(named or keys & {"update_config", "rollback_config", "replicas", "mode"})


def is_model(content: Any) -> bool:
    """Tell whether a YAML document has services of containers."""
    services = content.map("services") if isinstance(content, Map) else Map()
    kinds = {"image", "build", "extends"}
    return any(isinstance(one, Map) and kinds & one.keys() for one in services.values())


def groups(files: list[str]) -> list[tuple[str, ...]]:
    """Return which files are deployed together: a base alone, and with each of its overlays.

    ``compose.cuda.yaml`` is an overlay of the ``compose.yaml`` or ``docker-compose.yaml`` beside
    it.
    """
    found: list[tuple[str, ...]] = []
    bases = {_stem(file): file for file in files if "." not in PurePosixPath(file).stem}
    for file in files:
        base = bases.get(_stem(file))
        found.append((file,) if base in {None, file} else (str(base), file))
    for base in bases.values():
        together = tuple(
            overlay for first, *rest in found if rest and first == base for overlay in rest
        )
        if len(together) > 1:
            found.append((base, *together))
    return found


def _stem(file: str) -> str:
    path = PurePosixPath(file)
    return str(path.parent / path.name.split(".")[0].removeprefix("docker-"))


def deployment(
    files: tuple[str, ...], read: Callable[[str], Any], values: Mapping[str, str]
) -> Deployment:
    """Return what is deployed by files, each read by ``read``."""
    whole: Map = Map()
    for file in files:
        content = read(file)
        whole = merged(whole, content) if whole else content
    services = whole.map("services")
    resolved = {
        name: Service(name, _filled(_extended(name, services, read), values), whole.map("volumes"))
        for name, one in services.items()
        if isinstance(one, Map)
    }
    return Deployment(files, resolved, values)


def _extended(name: str, services: Map, read: Callable[[str], Any], depth: int = 0) -> Map:
    """Return a service merged over the one that it extends."""
    own: Map = services.map(name)
    extends = own.get("extends")
    if not extends or depth > len(services):
        return own
    other = str(extends.get("service", "")) if isinstance(extends, Map) else str(extends)
    file = extends.get("file") if isinstance(extends, Map) else None
    folder = PurePosixPath(own.file).parent
    content = read(str(folder / str(file))) if file else None
    source = content.map("services") if isinstance(content, Map) else services
    return merged(_extended(other, source, read, depth + 1), own) if other in source else own


def merged(base: Any, over: Any, key: str = "") -> Any:
    """Return a value with an overlay's over it, as compose merges them."""
    tag = getattr(over, "tag", "")
    if (
        tag == "!override"
        or base is None
        or (type(base) is not type(over) and key != "environment")
    ):
        return over
    if key == "environment":
        return _environment({**_named(base), **_named(over)}, base)
    if isinstance(over, Map):
        whole = Map({**base})
        whole.places = {**base.places}
        whole.file, whole.line = base.file, base.line
        for name, value in over.items():
            if getattr(value, "tag", "") == "!reset":
                whole.pop(name, None)
                continue
            whole[name] = merged(base.get(name), value, name)
            whole.places[name] = over.place_of(name)
        return whole
    if isinstance(over, Seq) and key not in REPLACED:
        kept = [one for one in base if _target(one) not in {_target(new) for new in over}]
        whole_list = Seq([*kept, *over])
        whole_list.file, whole_list.line = over.file, over.line
        return whole_list
    return over


def _target(mount: Any) -> str:
    """Return what tells entries of a list apart: a mount's target, else the entry itself."""
    if isinstance(mount, Map):
        return str(mount.get("target", mount.get("source", id(mount))))
    parts = re.sub(r"\$\{[^}]*\}", "x", str(mount)).split(":")
    return parts[1] if len(parts) > 1 and parts[1].startswith("/") else str(mount)


def _named(value: Any) -> dict[str, Text]:
    if isinstance(value, Map):
        return {name: one for name, one in value.items() if isinstance(one, Text)}
    found = {}
    for one in value if isinstance(value, Seq) else []:
        if isinstance(one, Text):
            name, _, text = one.partition("=")
            found[name] = yaml_text.text_at(text, one.line, one.file)
    return found


def _environment(values: dict[str, Text], base: Any) -> Map:
    whole = Map(values)
    whole.file, whole.line = base.file, base.line
    whole.places = {name: (one.file, one.line) for name, one in values.items()}
    return whole


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    """Return a value with its variables filled in, everything at its place."""
    if isinstance(value, Map):
        whole = Map({name: _filled(one, variables) for name, one in value.items()})
        whole.places, whole.file, whole.line = value.places, value.file, value.line
        return whole
    if isinstance(value, Seq):
        whole_list = Seq(_filled(one, variables) for one in value)
        whole_list.file, whole_list.line = value.file, value.line
        return whole_list
    if isinstance(value, Text):
        text = expand(value.replace("$$", r"\$"), variables)
        return yaml_text.text_at(text, value.line, value.file, value.tag)
    return value
