"""What every source of weights is, and how it fails."""

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

MEGABYTE = 1_000_000
# A source that is tried three times, with pauses, is given up after half a minute.
STALL_SECONDS = 8


class WeightsError(Exception):
    """Weights that cannot be provided.

    Args:
        exit_status: what the process should end with, of sysexits.h (``os.EX_CONFIG``, ...).
        sentence: the cause and the cure, for an operator; never a secret.
    """

    def __init__(self, exit_status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.exit_status = exit_status


class SourceUnreachableError(WeightsError):
    """A source that does not answer, or breaks off: it may the next time."""


def is_address(text: str) -> bool:
    """Tell whether something is the address of a server; the libraries break down where not."""
    try:
        address = urlsplit(text)
        right = address.port != 0 and bool(address.hostname)
    except ValueError:  # the port is no number, or a bracket is missing
        return False
    return right and address.scheme in {"http", "https"} and not re.search(r"\s", text)


@dataclass(frozen=True)
class WeightFile:
    """A file as its source announces it."""

    path: str
    """Where it belongs below the models folder, with ``/`` between its parts."""
    digest: str
    """``sha256:<hex>``, or ``git:<hex>``, the SHA-1 that git gives to its content."""
    size: int
    """In bytes."""


class Source(Protocol):
    """A place over the network, or a folder that is copied."""

    @property
    def name(self) -> str:
        """What the source is called in ``MODEL_SOURCE``, without the pin."""
        ...

    @property
    def pin(self) -> str:
        """What makes its content unchangeable; empty where it may change."""
        ...

    def files(self) -> list[WeightFile]:
        """Return the files that are wanted.

        Raises:
            WeightsError: the source cannot be used.
        """
        ...

    def read(self, file: WeightFile, offset: int) -> Generator[bytes]:
        """Yield a file's content from a byte on, in small pieces: what is yielded is not lost.

        Raises:
            WeightsError: the source cannot be used.
        """
        ...
