"""Entry point: ``python main.py``, or ``uvicorn main:app``."""

import os
import signal
import sys

import uvicorn

from app.ai.engines import read_configuration
from app.application import create_app
from app.core.config import SettingsError

EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h
EXIT_LOAD_FAILURE = 3

failures: list[int] = []


def stop_server() -> None:
    """Ask the server to stop, as an operator would, and remember that it has failed."""
    failures.append(EXIT_LOAD_FAILURE)
    os.kill(os.getpid(), signal.SIGTERM)


try:
    configuration = read_configuration()
except SettingsError as error:
    print(error, file=sys.stderr)
    sys.exit(EXIT_CONFIGURATION)
app = create_app(configuration, stop_server)


def main() -> int:
    """Serve until SIGTERM; running requests get their time to end. Return the exit status."""
    settings = configuration.settings
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn stops well at a signal, then raises it again for the handler that it found:
        # this one, so that a service that was asked to stop exits with 0.
        signal.signal(number, lambda *_: None)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=settings.shutdown_seconds,
        )
    )
    server.run()
    return failures[0] if failures else 0


if __name__ == "__main__":
    sys.exit(main())
