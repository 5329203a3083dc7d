"""What is known to be whole, so that no start reads gigabytes again: ``models/.weights.json``."""

import json
import math
import os
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from app.repositories.weights.base import WeightFile

RECORD_FILE = ".weights.json"
SAVE_SECONDS = 3.0


@dataclass(frozen=True)
class Listing:
    """What a source has, under its pin."""

    pin: str
    files: tuple[WeightFile, ...]


class Record:
    """The files that were verified, each with its size and time then, and the sources' listings.

    A file that somebody has changed since is not known any more.

    Args:
        models_dir: the folder of the weights; need not exist.
        before_saving: called before each write; what it raises prevents that.

    Attributes:
        listings: by the source's name, what was complete at the last start.
        unsaved: whether something was added that is not written yet.
    """

    def __init__(self, models_dir: Path, before_saving: Callable[[], None] = lambda: None) -> None:
        self.listings: dict[str, Listing] = {}
        self.unsaved = False
        self._before_saving = before_saving
        self._saved = -math.inf
        self._folder = models_dir
        self._files: dict[str, list[object]] = {}
        # A record that is missing or broken costs one reading of the files, and nothing else.
        with suppress(FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            content = json.loads((models_dir / RECORD_FILE).read_text("utf-8"))
            listings = {
                name: Listing(known["pin"], tuple(WeightFile(**file) for file in known["files"]))
                for name, known in content["sources"].items()
            }
            self._files, self.listings = dict(content["files"]), listings

    def knows(self, path: Path, digest: str) -> bool:
        """Tell whether a file was verified with this digest and is unchanged since."""
        try:
            return self._files.get(self._key(path)) == _state(path, digest)
        except OSError:
            return False

    def holds(self, listing: Listing) -> bool:
        """Tell whether each file of a listing is known, in its place below the folder."""
        return all(self.knows(self._folder / file.path, file.digest) for file in listing.files)

    def add(self, path: Path, digest: str) -> None:
        """Remember a file that was verified now, and write that every few seconds.

        Each write is of the whole record: one for each of thousands of files would take long.
        """
        self._files[self._key(path)] = _state(path, digest)
        self.unsaved = True
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self.save()

    def forget(self, path: Path) -> None:
        """Remember a file no longer."""
        self._files.pop(self._key(path), None)

    def save(self) -> None:
        """Write the record; a reader never sees half of it.

        Raises:
            OSError: the folder cannot be written.
        """
        self._before_saving()
        listings = {name: asdict(listing) for name, listing in self.listings.items()}
        content = json.dumps({"files": self._files, "sources": listings}, indent=1)
        unfinished = self._folder / f"{RECORD_FILE}.{uuid.uuid4().hex}"
        try:
            with unfinished.open("w", encoding="utf-8") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._folder / RECORD_FILE)
            self.unsaved, self._saved = False, time.monotonic()
        finally:
            unfinished.unlink(missing_ok=True)

    def _key(self, path: Path) -> str:
        """Return a name that holds where the volume is mounted elsewhere the next time."""
        with suppress(ValueError):
            return path.absolute().relative_to(self._folder.absolute()).as_posix()
        return str(path.absolute())


def _state(path: Path, digest: str) -> list[object]:
    found = path.stat()
    return [digest, found.st_size, found.st_mtime_ns]
