"""Lets one process of many fetch into a shared folder."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.core.logger import get_logger
from app.repositories.weights.base import WeightsError

LEASE_FILE = ".fetch.lease"
LEASE_SECONDS = 15.0
POLL_SECONDS = 0.5
# Who looks whether a marker is out of date moves it aside for a moment.
LOOK_AGAIN = 0.2
log = get_logger(__name__)


@contextmanager
def only_fetcher(models_dir: Path) -> Iterator[Callable[[], None]]:
    """Wait until no other process fetches into the folder, and keep the others out of it.

    A holder that dies, or stands still for `LEASE_SECONDS`, is replaced.

    Yields:
        A function to call between pieces of work, and before what destroys something.

    Raises:
        WeightsError: from that function as well, when another process has taken over.
    """
    from filelock import LeaseSettingsMismatch, SoftFileLease, Timeout

    marker = models_dir / LEASE_FILE
    lease = SoftFileLease(marker, lease_duration=LEASE_SECONDS)

    def still_ours() -> None:
        # The lease itself finds out some seconds later, which is too late for who has stood still.
        if lease.compromise or (_inode(marker) != ours and _inode(marker, LOOK_AGAIN) != ours):
            sentence = (
                f"Another process has taken over the fetching into {models_dir}: "
                "start again to wait for it."
            )
            raise WeightsError(os.EX_TEMPFAIL, sentence)

    try:
        try:
            held = lease.acquire(blocking=False)
        except Timeout:
            log.info("weights_waiting", folder=str(models_dir))
            held = lease.acquire(poll_interval=POLL_SECONDS)
    except LeaseSettingsMismatch as error:
        sentence = (
            f"Another release fetches into {models_dir}, and cannot be waited for: "
            "start again when it is through."
        )
        raise WeightsError(os.EX_TEMPFAIL, sentence) from error
    with held:
        ours = _inode(marker)
        try:
            yield still_ours
        except OSError:
            still_ours()  # who has taken over has moved the files: nothing is wrong with the disk
            raise


def _inode(marker: Path, wait: float = 0) -> int | None:
    """Return what tells one holder's marker from another's; ours is open, so it is not reused."""
    time.sleep(wait)
    try:
        return marker.stat().st_ino
    except FileNotFoundError:
        return None
