"""Spoken answers on disk, under ``static/tts``."""

import os
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

FOLDER = "tts"
URL = "/static/tts/"
SECONDS_PER_HOUR = 3600


class AudioRepository:
    """Keeps spoken answers for a while.

    Args:
        static_dir: the folder that is served under ``/static``.
    """

    def __init__(self, static_dir: Path) -> None:
        self._folder = static_dir / FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)

    def save(self, data: bytes, extension: str) -> str:
        """Write a file as ``<timestamp>_<uuid>.<extension>`` and return its address.

        A reader never sees half of it.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        name = f"{stamp}_{uuid.uuid4().hex}.{extension}"
        unfinished = self._folder / f".{name}"
        unfinished.write_bytes(data)
        unfinished.replace(self._folder / name)
        return URL + name

    def usage(self) -> tuple[int, int]:
        """Return how many files there are, and how many bytes they have together."""
        files = size = 0
        with suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    with suppress(FileNotFoundError):  # deleted meanwhile
                        size += entry.stat().st_size
                        files += 1
        return files, size

    def delete_older_than(self, hours: float) -> int:
        """Delete the files of that age and return how many they were."""
        oldest = time.time() - hours * SECONDS_PER_HOUR
        deleted = 0
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name != ".gitignore" and entry.stat().st_mtime < oldest:
                    Path(entry.path).unlink(missing_ok=True)
                    deleted += 1
        return deleted
