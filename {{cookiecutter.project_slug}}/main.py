"""Entry point: ``python main.py``."""

import os
import signal
from collections.abc import Callable


def on_stop(action: Callable[[], object]) -> None:
    """Do something when an operator or the platform asks the process to end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: action())


# Before all else: the first process of a container ignores signals that it has no handler for,
# and the imports below take seconds. An exception inside of one could crash native code.
on_stop(lambda: os._exit(0))

import errno
import sys

from app.ai.engines import read_configuration
from app.application import create_app
from app.core.config import SettingsError
from app.core.environment import complete_environment
from app.server import Server
from app.start_up import StartUpError, prepare, taken

EXIT_LOAD_FAILURE = 3
EXIT_UNFINISHED = 4

failures: list[int] = []


def stop_server() -> None:
    """Ask the server to stop, as an operator would, and remember that it has failed."""
    failures.append(EXIT_LOAD_FAILURE)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """Serve until SIGTERM; running requests get their time to end. Return the exit status."""
    try:
        complete_environment()
        configuration = read_configuration()
        app = create_app(configuration, stop_server)
        on_stop(sys.exit)  # a fetch of weights tidies up
        listener = prepare(configuration)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return os.EX_CONFIG
    except StartUpError as error:
        print(f"The service cannot start: {error}", file=sys.stderr)
        return error.exit_status
    server = Server(app)
    # The server's own handlers come a moment later. Once it has stopped, it raises the signal again
    # for the handlers that it found: these, so that a service that was asked to stop exits with 0.
    on_stop(lambda: server.handle_exit(signal.SIGTERM, None))
    try:
        server.run(sockets=[listener])
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        # Bound all along, but another process was the first to listen there.
        print(f"The service cannot start: {taken(configuration.settings)}", file=sys.stderr)
        return os.EX_OSERR
    if failures:
        return failures[0]
    return 0 if app.state.engines_ended else EXIT_UNFINISHED


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Models that still load or compute would crash in an interpreter that is being taken down.
    os._exit(status)
