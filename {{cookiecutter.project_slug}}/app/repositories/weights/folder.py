"""A folder of weights that is used where it is."""

import os
from contextlib import suppress
from pathlib import Path

from app.core.logger import get_logger
from app.repositories.weights.base import WeightsError
from app.repositories.weights.checksums import SUMS_FILE, matches, parse_sums
from app.repositories.weights.record import Record

log = get_logger(__name__)


def check_folder(folder: Path, record: Record) -> None:
    """See that a folder of weights is there, and is whole if it has a ``SHA256SUMS``.

    Nothing in it is written. Where the record cannot be written either, its files are read at
    every start.

    Raises:
        WeightsError: the folder is missing, empty, unreadable or damaged.
    """
    try:
        if not any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise WeightsError(
                os.EX_CONFIG, f"MODEL_SOURCE names the folder {folder}, but nothing is in it."
            )
        if (folder / SUMS_FILE).exists():
            _check_sums(folder, record)
    except (FileNotFoundError, NotADirectoryError) as error:
        sentence = f"MODEL_SOURCE names {folder}, but there is no such folder."
        raise WeightsError(os.EX_CONFIG, sentence) from error
    except OSError as error:
        sentence = (
            f"{error.filename or folder} cannot be read ({error.strerror}): "
            f"let the user with the id {os.getuid()} read the folder {folder}."
        )
        raise WeightsError(os.EX_NOPERM, sentence) from error


def _check_sums(folder: Path, record: Record) -> None:
    sums = folder / SUMS_FILE
    try:
        listed = parse_sums(sums.read_bytes())
    except ValueError as error:
        raise WeightsError(os.EX_DATAERR, f"{sums} cannot be used: {error}.") from error
    for name, digest in listed.items():
        path = folder / name
        if record.knows(path, digest):
            continue
        if not path.is_file():
            raise WeightsError(os.EX_DATAERR, f"{path} is missing, but {sums} names it.")
        log.info("weights_checking", source=str(folder), file=name)
        if not matches(path, digest):
            sentence = f"{path} is not what {sums} says: copy the file anew."
            raise WeightsError(os.EX_DATAERR, sentence)
        with suppress(OSError):
            record.add(path, digest)
    if record.unsaved:
        with suppress(OSError):
            record.save()
