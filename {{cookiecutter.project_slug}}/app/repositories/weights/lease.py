"""Lets one process of many fetch into a shared folder."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.core.logger import get_logger
from app.repositories.weights.base import WeightsError

LEASE_FILE = ".fetch.lease"
LEASE_SECONDS = 15.0
POLL_SECONDS = 0.5
log = get_logger(__name__)


@contextmanager
def only_fetcher(models_dir: Path) -> Iterator[Callable[[], None]]:
    """Wait until no other process fetches into the folder, and keep the others out of it.

    A holder that dies, or stands still for `LEASE_SECONDS`, is replaced.

    Yields:
        A function to call between pieces of work. It raises `WeightsError` when another process
        has taken over.
    """
    from filelock import SoftFileLease, Timeout

    lease = SoftFileLease(models_dir / LEASE_FILE, lease_duration=LEASE_SECONDS)

    def still_ours() -> None:
        if lease.compromise:
            sentence = (
                f"Another process has taken over the fetching into {models_dir} "
                f"({lease.compromise.reason}): start again to wait for it."
            )
            raise WeightsError(os.EX_TEMPFAIL, sentence)

    try:
        held = lease.acquire(blocking=False)
    except Timeout:
        log.info("weights_waiting", folder=str(models_dir))
        held = lease.acquire(poll_interval=POLL_SECONDS)
    with held:
        yield still_ours
