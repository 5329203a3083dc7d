"""The drain: a service that is to stop first leaves its proxy, and answers until it has."""

import time


class Drain:
    """Whether the service is leaving, and until when.

    Args:
        seconds: time from the order to stop until the stop; 0 leaves none.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end: float | None = None

    @property
    def begun(self) -> bool:
        """Whether the service is not ready any more because it is to stop."""
        return self._end is not None

    @property
    def over(self) -> bool:
        """Whether proxies have had their time."""
        return self._end is not None and time.monotonic() >= self._end

    def begin(self) -> None:
        """Leave. Signal handlers may call this: it does nothing but remember the time."""
        self._end = time.monotonic() + self.seconds
