"""Alive and sound, and ready."""

from fastapi import APIRouter, Response

from app.models.health_model import HealthResponse, ReadyResponse
from app.routers.dependencies import ServicesDependency

router = APIRouter(tags=["health"])


@router.get("/health", responses={503: {"model": HealthResponse}})
async def health(services: ServicesDependency, response: Response) -> HealthResponse:
    """Tell whether the process is sound; it may still be loading its models.

    503: an engine no longer works, and only a new process can mend that.
    """
    version = services.settings.service_version
    fault = services.engines.broken
    if fault is None:
        return HealthResponse(status="ok", version=version)
    response.status_code = 503
    return HealthResponse(status="broken", version=version, reason=fault)


@router.get("/ready", responses={503: {"model": ReadyResponse}})
async def ready(services: ServicesDependency, response: Response) -> ReadyResponse:
    """Tell whether requests may be sent here: 200, or 503 with the reason."""
    engines = services.engines
    answer = ReadyResponse(
        status="ready", version=services.settings.service_version, device=engines.device
    )
    if services.drain.begun:
        answer.status = "draining"
    elif engines.failure:
        answer.status, answer.reason = "failed", engines.failure
    elif not engines.ready:
        answer.status = "loading"
    if answer.status != "ready":
        response.status_code = 503
    return answer
