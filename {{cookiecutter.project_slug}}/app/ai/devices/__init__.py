"""Where models run: one file for each device, named as in the ``device`` setting.

Each has ``prepare()``, which makes the device usable and returns its name for ``/ready``, and
raises `DeviceError` where it is not there; and ``metrics()``, which never fails.
"""


class DeviceError(Exception):
    """A device that cannot be used; the text names the cause and the remedy in one sentence."""
