"""Alive, and ready."""

from fastapi import APIRouter, Response

from app.models.health_model import HealthResponse, ReadyResponse
from app.routers.dependencies import ServicesDependency

router = APIRouter(tags=["health"])


@router.get("/health")
async def health() -> HealthResponse:
    """Tell that the process is alive; it may still be loading its models."""
    return HealthResponse()


@router.get("/ready", responses={503: {"model": ReadyResponse}})
async def ready(services: ServicesDependency, response: Response) -> ReadyResponse:
    """Tell whether requests can be answered: 200, or 503 with the reason."""
    engines = services.engines
    device = services.settings.device
    if engines.ready:
        return ReadyResponse(status="ready", device=device)
    response.status_code = 503
    if engines.failure:
        return ReadyResponse(status="failed", device=device, reason=engines.failure)
    return ReadyResponse(status="loading", device=device)
