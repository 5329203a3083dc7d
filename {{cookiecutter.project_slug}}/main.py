"""Entry point: ``python main.py``, or ``uvicorn main:app``."""

import os
import signal
import sys
from typing import NoReturn

import uvicorn

from app.ai.engines import read_configuration
from app.application import create_app
from app.core.config import SettingsError
from app.start_up import StartUpError, prepare

EXIT_LOAD_FAILURE = 3

failures: list[int] = []


def stop_server() -> None:
    """Ask the server to stop, as an operator would, and remember that it has failed."""
    failures.append(EXIT_LOAD_FAILURE)
    os.kill(os.getpid(), signal.SIGTERM)


def stop_starting(*_: object) -> NoReturn:
    """End a start that is not done yet: a container's first process ignores signals by default."""
    sys.exit(0)


for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, stop_starting)
try:
    configuration = read_configuration()
except SettingsError as error:
    print(error, file=sys.stderr)
    sys.exit(os.EX_CONFIG)
app = create_app(configuration, stop_server)


def main() -> int:
    """Serve until SIGTERM; running requests get their time to end. Return the exit status."""
    settings = configuration.settings
    try:
        listener = prepare(configuration)
    except StartUpError as error:
        print(f"The service cannot start: {error}", file=sys.stderr)
        return error.exit_status
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn stops well at a signal, then raises it again for the handler that it found:
        # this one, so that a service that was asked to stop exits with 0.
        signal.signal(number, lambda *_: None)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=settings.shutdown_seconds,
        )
    )
    server.run(sockets=[listener])
    return failures[0] if failures else 0


if __name__ == "__main__":
    sys.exit(main())
