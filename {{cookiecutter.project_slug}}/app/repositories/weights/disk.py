"""What can be wrong with the folder that weights are kept in."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.repositories.weights.base import MEGABYTE, WeightsError

SPARE_BYTES = 64 * MEGABYTE
FULL = {errno.ENOSPC, errno.EDQUOT}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def require_space(models_dir: Path, needed: int) -> None:
    """Refuse to begin what cannot end.

    Args:
        models_dir: the folder of the weights, which is there.
        needed: bytes that are still to come.

    Raises:
        WeightsError: they would leave less than `SPARE_BYTES` free.
    """
    if needed + SPARE_BYTES > shutil.disk_usage(models_dir).free:
        raise _no_space(models_dir, f"{needed / MEGABYTE:.0f} MB more")


@contextmanager
def disk_told(models_dir: Path) -> Iterator[None]:
    """Say in one sentence what is wrong with the folder.

    Raises:
        WeightsError: in place of any `OSError`.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise _no_space(models_dir, "more") from error
        if error.errno in FORBIDDEN:
            sentence = (
                f"{models_dir} cannot be written by the user with the id {os.getuid()} "
                f"({error.strerror}): mount it writable, or give it to this user."
            )
            raise WeightsError(os.EX_NOPERM, sentence) from error
        sentence = f"{models_dir} cannot be used ({error.strerror}): look at the volume."
        raise WeightsError(os.EX_IOERR, sentence) from error


def _no_space(models_dir: Path, needed: str) -> WeightsError:
    free = shutil.disk_usage(models_dir).free / MEGABYTE
    return WeightsError(
        os.EX_CANTCREAT,
        f"{models_dir} has {free:.0f} MB free and the weights need {needed}: "
        "make room, or use a larger volume.",
    )
