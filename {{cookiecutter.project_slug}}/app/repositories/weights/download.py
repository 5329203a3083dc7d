"""Downloads a file so that neither a kill nor a broken connection costs what is there already."""

import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from app.core.logger import get_logger
from app.repositories.weights.base import (
    MEGABYTE,
    Source,
    SourceUnreachableError,
    WeightFile,
    WeightsError,
)
from app.repositories.weights.checksums import agrees, new_hash, read_into

PARTIAL_FOLDER = ".partial"
PAUSES = (1.0, 2.0)
PROGRESS_SECONDS = 5.0
T = TypeVar("T")
log = get_logger(__name__)


class Progress:
    """Writes a line into the log every few seconds.

    Args:
        total: bytes of all that is missing.
        still_ours: see `only_fetcher`; called with every piece, and before a file is moved.
    """

    def __init__(self, total: int, still_ours: Callable[[], None]) -> None:
        self.still_ours = still_ours
        self._total = total
        self._done = 0
        self._new = 0
        self._last = time.monotonic()

    def had(self, size: int) -> None:
        """Count bytes that an earlier start has left, less than none where they are lost."""
        self._done += size

    def add(self, source: str, file: str, size: int) -> None:
        """Count bytes that have come now."""
        self.still_ours()
        self._done += size
        self._new += size
        seconds = time.monotonic() - self._last
        if seconds >= PROGRESS_SECONDS:
            log.info(
                "weights_progress",
                source=source,
                file=file,
                percent=round(100 * self._done / self._total, 1),
                megabytes=round(self._done / MEGABYTE, 1),
                megabytes_per_second=round(self._new / MEGABYTE / seconds, 1),
            )
            self._new, self._last = 0, time.monotonic()


def partial_size(models_dir: Path, file: WeightFile) -> int:
    """Return the bytes that an earlier start has left of a file."""
    path = _partial(models_dir, file)
    return path.stat().st_size if path.exists() else 0


def patiently(call: Callable[[], T]) -> T:
    """Call, and again after a pause or two where the source does not answer.

    Raises:
        SourceUnreachableError: it still does not.
    """
    for pause in PAUSES:
        try:
            return call()
        except SourceUnreachableError:
            time.sleep(pause)
    return call()


def download(source: Source, file: WeightFile, models_dir: Path, progress: Progress) -> None:
    """Bring a file to its place, complete and verified.

    Raises:
        WeightsError: the source fails, or sends something else twice.
        OSError: the folder cannot be written.
    """
    partial, target = _partial(models_dir, file), models_dir / file.path
    for _ in range(2):
        right = _complete(source, file, partial, progress)
        progress.still_ours()
        if right:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(target)
            return
        # What an earlier start has left may be what is wrong.
        progress.had(-partial.stat().st_size)
        partial.unlink()
        log.warning("weights_damaged", source=source.name, file=file.path)
    sentence = f"{file.path} of {source.name} has not the checksum announced: upload it anew."
    raise WeightsError(os.EX_DATAERR, sentence)


def _partial(models_dir: Path, file: WeightFile) -> Path:
    """Return where a file grows: named by what it will be, so that no other is continued."""
    return models_dir / PARTIAL_FOLDER / file.digest.replace(":", "-")


def _complete(source: Source, file: WeightFile, partial: Path, progress: Progress) -> bool:
    """Fetch what a partial file lacks, and tell whether its checksum is right."""
    running = new_hash(file.digest, file.size)
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.touch()
    # Every byte is written where it belongs, not at the end: should another process have taken
    # over without our knowing, both write the same.
    with partial.open("r+b") as out:
        size = read_into(running, out)
        progress.had(size)
        pauses = iter(PAUSES)
        while size < file.size:
            before = size
            try:
                with closing(source.read(file, size)) as pieces:
                    for piece in pieces:
                        out.write(piece)
                        running.update(piece)
                        size += len(piece)
                        progress.add(source.name, file.path, len(piece))
                break
            except SourceUnreachableError as error:
                pauses = iter(PAUSES) if size > before else pauses
                pause = next(pauses, None)
                if pause is None:
                    raise
                log.warning("weights_interrupted", source=source.name, reason=str(error))
                time.sleep(pause)
        out.flush()
        os.fsync(out.fileno())
    return agrees(running, file.digest)
