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
    fault = services.engines.broken
    if fault is None:
        return HealthResponse(status="ok")
    response.status_code = 503
    return HealthResponse(status="broken", reason=fault)


@router.get("/ready", responses={503: {"model": ReadyResponse}})
async def ready(services: ServicesDependency, response: Response) -> ReadyResponse:
    """Tell whether requests can be answered: 200, or 503 with the reason."""
    engines = services.engines
    device = engines.device
    if engines.ready:
        return ReadyResponse(status="ready", device=device)
    response.status_code = 503
    if engines.failure:
        return ReadyResponse(status="failed", device=device, reason=engines.failure)
    return ReadyResponse(status="loading", device=device)
