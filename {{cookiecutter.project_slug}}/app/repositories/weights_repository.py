"""Brings the model weights that ``MODEL_SOURCE`` names, before the service starts."""

import os
import time
from contextlib import suppress
from pathlib import Path

from app.core.logger import get_logger
from app.repositories.weights.base import (
    MEGABYTE,
    Source,
    SourceUnreachableError,
    WeightFile,
    WeightsError,
)
from app.repositories.weights.checksums import matches
from app.repositories.weights.disk import disk_told, require_space
from app.repositories.weights.download import (
    PARTIAL_FOLDER,
    Progress,
    download,
    partial_size,
    patiently,
)
from app.repositories.weights.folder import check_folder
from app.repositories.weights.lease import LEASE_FILE, only_fetcher
from app.repositories.weights.record import RECORD_FILE, Listing, Record
from app.repositories.weights.sources import parse_sources

__all__ = ["WeightsError", "provide_weights"]

RESERVED = {PARTIAL_FOLDER, LEASE_FILE, RECORD_FILE}
Listings = dict[str, Listing]
log = get_logger(__name__)


def provide_weights(sources: str, models_dir: Path) -> None:
    """See that all weights are there and whole, and fetch those that are not.

    A folder is used where it is. A model of the hub comes into ``models_dir/<owner>/<name>``,
    the files of a bucket into ``models_dir``. What is pinned and complete needs no network.
    Several processes may do this at once: one fetches, the others wait for it.

    Args:
        sources: ``MODEL_SOURCE``: folders, ``hf://owner/name@commit``, ``s3://bucket/prefix``
            (or ``gs``, ``az``, ``file``), with commas or spaces between them.
        models_dir: where weights are kept; made when it is missing.

    Raises:
        WeightsError: with a sentence for the operator, and the exit status for the process.
    """
    started = time.monotonic()
    parsed = parse_sources(sources)
    remote = [source for source in parsed if not isinstance(source, Path)]
    with disk_told(models_dir):
        record = Record(models_dir)
        for source in parsed:
            if isinstance(source, Path):
                check_folder(source, record)
        fetched = _provide(remote, models_dir, record) if remote else 0
    if parsed:
        names = [str(source) if isinstance(source, Path) else source.name for source in parsed]
        seconds = round(time.monotonic() - started, 2)
        log.info("weights_ready", sources=names, fetched=fetched, seconds=seconds)


def _provide(sources: list[Source], models_dir: Path, record: Record) -> int:
    """Fetch what the sources have and the folder has not; return the number of files."""
    listings = {source.name: _listing(source, record) for source in sources}
    if len(listings) < len(sources):
        raise WeightsError(os.EX_CONFIG, "MODEL_SOURCE names a source twice: name it once.")
    _refuse_conflicts(listings)
    if listings.items() <= record.listings.items() and all(map(record.holds, listings.values())):
        return 0
    models_dir.mkdir(parents=True, exist_ok=True)
    with only_fetcher(models_dir) as still_ours:
        began = time.time()
        # Read anew: another process may have fetched in the meantime.
        record = Record(models_dir, before_saving=still_ours)
        missing = {
            file.path: (source, file)
            for source in sources
            for file in listings[source.name].files
            if not _is_there(source, file, models_dir, record)
        }
        if missing:
            total = sum(file.size for _, file in missing.values())
            there = sum(partial_size(models_dir, file) for _, file in missing.values())
            require_space(models_dir, total - there)
            log.info(
                "weights_fetching",
                sources=[*listings],
                files=len(missing),
                megabytes=round(total / MEGABYTE, 1),
                megabytes_there=round(there / MEGABYTE, 1),
            )
            progress = Progress(total, still_ours)
        for source, file in missing.values():
            download(source, file, models_dir, progress)
            record.add(models_dir / file.path, file.digest)
        still_ours()
        _delete_outdated(listings, models_dir, record)
        record.listings |= listings
        record.save()
        still_ours()
        _delete_leftovers(models_dir / PARTIAL_FOLDER, began)
    return len(missing)


def _listing(source: Source, record: Record) -> Listing:
    """Return what a source has: from the record where that cannot have changed."""
    known = record.listings.get(source.name)
    if known and source.pin and source.pin == known.pin:
        return known
    try:
        return Listing(source.pin, tuple(patiently(source.files)))
    except SourceUnreachableError as error:
        if known and not source.pin and record.holds(known):
            log.warning("weights_unreachable", source=source.name, reason=str(error))
            return known
        raise


def _refuse_conflicts(listings: Listings) -> None:
    """Refuse files that would take each other's place, or that of our own files."""
    taken: dict[str, tuple[str, str]] = {}
    for name, listing in listings.items():
        for file in listing.files:
            if file.path.partition("/")[0] in RESERVED:
                sentence = f"{name} has {file.path}, a name that is used here: rename the file."
                raise WeightsError(os.EX_DATAERR, sentence)
            other, digest = taken.setdefault(file.path, (name, file.digest))
            if digest != file.digest:
                sentence = f"{name} and {other} have different files called {file.path}: use one."
                raise WeightsError(os.EX_CONFIG, sentence)


def _is_there(source: Source, file: WeightFile, models_dir: Path, record: Record) -> bool:
    """Tell whether a file is in its place and whole, reading it where that is not known."""
    path = models_dir / file.path
    if record.knows(path, file.digest):
        return True
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    log.info("weights_checking", source=source.name, file=file.path)
    if not matches(path, file.digest):
        return False
    record.add(path, file.digest)
    return True


def _delete_outdated(listings: Listings, models_dir: Path, record: Record) -> None:
    """Delete the files that a source had before and has no longer.

    Engines look for weights by name: one of an earlier version would still be loaded.
    """
    wanted = {file.path for listing in listings.values() for file in listing.files}
    for name in listings.keys() & record.listings.keys():
        for file in record.listings[name].files:
            path = models_dir / file.path
            if file.path not in wanted and record.knows(path, file.digest):
                path.unlink()
                record.forget(path)


def _delete_leftovers(folder: Path, began: float) -> None:
    """Delete what earlier starts have left of files that are not wanted any more.

    What was written since we began is another process's, should it have taken over just now.
    """
    with suppress(OSError):  # it costs space, and nothing else
        for path in folder.iterdir():
            if path.stat().st_mtime < began:
                path.unlink()
        folder.rmdir()
