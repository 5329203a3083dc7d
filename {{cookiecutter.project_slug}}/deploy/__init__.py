"""Releases: the standard library and the ``docker`` command are all that this package needs."""
