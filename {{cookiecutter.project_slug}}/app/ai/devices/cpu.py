"""The processor."""

from collections.abc import Iterable

from prometheus_client import Metric


def prepare() -> str:
    """Return the name for ``/ready``; a processor is always there."""
    return "cpu"


def metrics() -> Iterable[Metric]:
    """Return nothing: what the process uses of the processor is told by the process."""
    return ()
