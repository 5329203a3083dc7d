"""The processor."""


def prepare() -> str:
    """Return the name for ``/ready``; a processor is always there."""
    return "cpu"
