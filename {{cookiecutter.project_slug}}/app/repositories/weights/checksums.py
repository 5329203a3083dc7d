"""Checksums of files, and the lists of them that ``sha256sum`` writes."""

import hashlib
import re
from pathlib import Path
from typing import BinaryIO, Protocol

SUMS_FILE = "SHA256SUMS"
READ_BYTES = 1 << 20
SUMS_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")
UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")


class Hash(Protocol):
    """A running checksum of `hashlib`."""

    def update(self, data: bytes, /) -> None:
        """Take the next bytes."""
        ...

    def hexdigest(self) -> str:
        """Return the checksum of the bytes so far."""
        ...


def new_hash(digest: str, size: int) -> Hash:
    """Return a running checksum of the kind that a digest is.

    Args:
        digest: see `WeightFile.digest`.
        size: bytes of the whole file, which git puts in front of the content.
    """
    if digest.startswith("git:"):
        return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    return hashlib.sha256()


def agrees(running: Hash, digest: str) -> bool:
    """Tell whether a checksum has come out as announced."""
    return running.hexdigest() == digest.partition(":")[2]


def read_into(running: Hash, file: BinaryIO) -> int:
    """Take the rest of a file into a checksum and return how many bytes it was."""
    size = 0
    while data := file.read(READ_BYTES):
        running.update(data)
        size += len(data)
    return size


def matches(path: Path, digest: str) -> bool:
    """Read a whole file and tell whether it has this checksum."""
    running = new_hash(digest, path.stat().st_size)
    with path.open("rb") as file:
        read_into(running, file)
    return agrees(running, digest)


def parse_sums(content: bytes) -> dict[str, str]:
    """Read what ``sha256sum`` has written.

    Returns:
        The digest of each file, by its path with ``/`` between its parts.

    Raises:
        ValueError: a line has another form, or a name leads out of the folder.
    """
    found = {}
    for number, line in enumerate(content.decode().split("\n"), 1):
        if not line.strip():
            continue
        match = SUMS_LINE.fullmatch(line.rstrip("\r"))
        if not match:
            raise ValueError(f"line {number} is not a checksum and a name")
        path = safe_path(match[2].removeprefix("./"))
        if path != SUMS_FILE:
            found[path] = f"sha256:{match[1].lower()}"
    if not found:
        raise ValueError("no file is named")
    return found


def safe_path(path: str) -> str:
    """Return a path as it is.

    Raises:
        ValueError: it leads out of its folder, or means another on another system.
    """
    if UNSAFE.search(path) or any(part in {"", ".", ".."} for part in path.split("/")):
        raise ValueError(f"{path!r} is no path inside the folder")
    return path
