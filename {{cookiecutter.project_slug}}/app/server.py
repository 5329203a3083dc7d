"""The HTTP server: uvicorn, which here drains before it stops."""

import signal
from types import FrameType

import uvicorn
from fastapi import FastAPI

from app.core.logger import get_logger
from app.services.container import Services

log = get_logger(__name__)


class Server(uvicorn.Server):
    """Goes on answering for the settings' ``drain_seconds`` after SIGTERM, but is not ready.

    A second signal ends the drain. There is none after Ctrl-C, nor for a service that is not
    ready yet or never will be: no proxy sends anybody there. Running requests have their
    ``shutdown_seconds`` in any case.
    """

    def __init__(self, app: FastAPI) -> None:
        services: Services = app.state.services
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=services.settings.shutdown_seconds,
            )
        )
        self._engines = services.engines
        self._drain = services.drain
        self._announced = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal: begin the drain, or stop."""
        if sig == signal.SIGTERM and self._engines.ready and not self._drain.begun:
            self._drain.begin()  # logged later: this may have interrupted the writing of a line
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop now; uvicorn asks ten times a second."""
        if self._drain.begun and not self._announced:
            self._announced = True
            log.info("draining", seconds=self._drain.seconds)
        if self._drain.over:
            self.should_exit = True
        return await super().on_tick(counter)
