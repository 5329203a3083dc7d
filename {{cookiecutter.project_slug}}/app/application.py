"""Puts the application together."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.staticfiles import StaticFiles

from app.ai.engines import Configuration, EngineLoadError, Engines, in_thread
from app.core import metrics
from app.core.config import Settings
from app.core.exception_handlers import add_exception_handlers
from app.core.logger import configure_logging, get_logger, secrets_of
from app.core.middleware import BodyLimit, CloseConnections, RequestLog, RequestMetrics
from app.core.tracing import configure_tracing, end_tracing
from app.repositories.audio_repository import AudioRepository
from app.routers import chat_router, health_router, openai_router, page_router, voice_router
from app.services.container import Services
from app.services.state_metrics import StateMetrics

ROUTERS = (health_router, chat_router, voice_router, openai_router, page_router)
SECONDS_PER_MINUTE = 60
LINGER_SECONDS = 1.0
LAG_EVERY_SECONDS = 0.25
LAST_TRACES_SECONDS = 2.0
log = get_logger(__name__)


def create_app(configuration: Configuration, on_load_failure: Callable[[], None]) -> FastAPI:
    """Return the application; its engines load in the background once it runs.

    Args:
        configuration: everything the settings say.
        on_load_failure: called when an engine cannot be loaded; the server should stop.

    Raises:
        SettingsError: traces cannot be sent where they are to go.
    """
    settings = configuration.settings
    own = configuration.own.values()
    configure_logging(settings, own)
    secrets = secrets_of(settings, own)
    telemetry = configure_tracing(settings.service_name, settings.service_version, secrets)
    engines = Engines(configuration)
    services = Services.build(settings, engines)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(load(engines, on_load_failure)),
            asyncio.create_task(clean_up(services.audio, settings)),
            asyncio.create_task(watch_event_loop()),
        ]
        state = StateMetrics(services)
        metrics.REGISTRY.register(state)
        yield
        metrics.REGISTRY.unregister(state)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Running requests have had their time: the server waits for them before it comes here.
        app.state.engines_ended = await engines.close(LINGER_SECONDS)
        if not app.state.engines_ended:
            log.warning("work_unfinished", seconds=settings.shutdown_seconds)
        with suppress(TimeoutError):  # a collector that is away does not keep the service
            await asyncio.wait_for(in_thread(end_tracing), LAST_TRACES_SECONDS)

    app = FastAPI(
        title=settings.service_name,
        lifespan=lifespan,
        telemetry=telemetry,
    )
    app.state.settings = settings
    app.state.engines_ended = True
    app.state.services = services
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
    )
    app.add_middleware(BodyLimit, most=settings.upload_max_bytes)
    app.add_middleware(CloseConnections, drain=services.drain)
    app.add_middleware(RequestLog)
    if settings.metrics_port:
        app.add_middleware(RequestMetrics)
    add_exception_handlers(app, settings)
    for module in ROUTERS:
        app.include_router(module.router)
    app.mount("/static", StaticFiles(directory=settings.static_dir), name="static")
    return app


async def load(engines: Engines, on_failure: Callable[[], None]) -> None:
    """Load the engines; a failure is logged in one line and stops the server."""
    try:
        await engines.load()
    except EngineLoadError as error:
        log.error("engine_load_failed", reason=str(error))  # noqa: TRY400 - the reason is enough
        on_failure()


async def clean_up(audio: AudioRepository, settings: Settings) -> None:
    """Delete old spoken answers, now and then."""
    while True:
        try:
            deleted = await asyncio.to_thread(audio.delete_older_than, settings.tts_keep_hours)
        except OSError as error:
            log.warning("tts_cleanup_failed", reason=str(error))
        else:
            log.info("tts_cleanup", files=deleted)
        await asyncio.sleep(settings.tts_cleanup_minutes * SECONDS_PER_MINUTE)


async def watch_event_loop() -> None:
    """Measure, four times a second, by how much the event loop is late."""
    while True:
        due = time.perf_counter() + LAG_EVERY_SECONDS
        await asyncio.sleep(LAG_EVERY_SECONDS)
        metrics.EVENT_LOOP_LAG_SECONDS.observe(max(0.0, time.perf_counter() - due))
