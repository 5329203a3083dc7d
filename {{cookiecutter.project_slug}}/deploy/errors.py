"""The one error that this package shows to a person."""


class DeployError(Exception):
    """A release cannot go on; the text says why and what to do, without any secret."""
