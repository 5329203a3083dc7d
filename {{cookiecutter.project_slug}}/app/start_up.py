"""What must be true before the service is worth starting: device, folders, port, weights."""

import errno
import os
import socket
from pathlib import Path
from tempfile import TemporaryFile

from app.ai.devices import DeviceError
from app.ai.engines import Configuration
from app.core import metrics
from app.core.config import Settings
from app.repositories.weights_repository import WeightsError, provide_weights


class StartUpError(Exception):
    """Something is missing.

    Args:
        exit_status: what the process should end with, of sysexits.h (``os.EX_NOPERM``, ...).
        sentence: the cause and the remedy, for an operator.
    """

    def __init__(self, exit_status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.exit_status = exit_status


def prepare(configuration: Configuration) -> socket.socket:
    """Check and fetch what the service needs; return the socket that it will listen on.

    Raises:
        StartUpError: with the exit status of the process.
    """
    settings = configuration.settings
    try:
        configuration.device.prepare()
    except DeviceError as error:
        raise StartUpError(os.EX_UNAVAILABLE, str(error)) from error
    for folder in (settings.data_dir, settings.static_dir / "tts"):
        check_writable(folder)
    listener = bind(settings)
    if settings.metrics_port:
        serve_metrics(settings)
    try:
        provide_weights(settings.model_source, settings.models_dir)
    except WeightsError as error:
        raise StartUpError(error.exit_status, str(error)) from error
    except Exception as error:
        # The libraries read settings of their own; what they make of them is no list that ends.
        sentence = f"The weights cannot be provided: {type(error).__name__} ({error})."
        raise StartUpError(os.EX_SOFTWARE, sentence) from error
    return listener


def check_writable(folder: Path) -> None:
    """Make a folder where it is missing and see whether files can be written there.

    Raises:
        StartUpError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as probe:
            probe.write(b"\0")
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StartUpError(os.EX_CANTCREAT, f"{folder} has no space left.") from error
        raise StartUpError(
            os.EX_NOPERM,
            f"{folder} cannot be written by uid {os.getuid()} ({error.strerror}). Mount a volume "
            f"there that this user owns: chown -R {os.getuid()} FOLDER.",
        ) from error


def bind(settings: Settings) -> socket.socket:
    """Return a socket bound to the service's address; it does not listen yet.

    Raises:
        StartUpError: the address is taken or not this machine's.
    """
    host, port = settings.host, settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sends small answers at once; without, 40 ms later (it sets
    # TCP_NODELAY on sockets that say they are TCP, and an accepted one says what this one does).
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        reason = "" if error.errno == errno.EADDRINUSE else f"cannot be used ({error})"
        raise StartUpError(os.EX_OSERR, taken(settings, reason)) from error
    return listener


def serve_metrics(settings: Settings) -> None:
    """Answer Prometheus from now on.

    Raises:
        StartUpError: the address is taken or not this machine's.
    """
    try:
        metrics.serve(settings.metrics_host, settings.metrics_port)
    except OSError as error:
        reason = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error})"
        raise StartUpError(
            os.EX_OSERR,
            f"Port {settings.metrics_port} on {settings.metrics_host}, of the metrics, {reason}. "
            "Set METRICS_PORT or METRICS_HOST to another, or METRICS_PORT=0 for none.",
        ) from error


def taken(settings: Settings, reason: str = "") -> str:
    """Return the sentence about an address that cannot be listened on."""
    where = f"Port {settings.port} on {settings.host}"
    return f"{where} {reason or 'is taken'}. Set PORT or HOST to another."
