"""What the routes take: the services, the caller, and the errors they may answer with."""

from typing import Annotated, Any

from fastapi import Depends, Request

from app.core.security import authenticate
from app.models.error_model import ErrorResponse, OpenAIErrorResponse
from app.services.container import Services

Responses = dict[int | str, dict[str, Any]]

STATUSES = {
    400: "The request is not valid",
    401: "No valid API key",
    404: "Not found",
    413: "The body or the recording is too large",
    415: "No recording that we know",
    422: "No speech was recognised",
    429: "Too many requests are waiting",
    500: "An unexpected error",
    503: "Not ready, or an engine does not answer",
}
API_ERRORS: Responses = {
    status: {"model": ErrorResponse, "description": text} for status, text in STATUSES.items()
}
OPENAI_ERRORS: Responses = {
    status: {"model": OpenAIErrorResponse, "description": text} for status, text in STATUSES.items()
}


async def get_services(request: Request) -> Services:
    """Return the application's services.

    A plain function would be called in a thread, and wait there for models that keep Python busy.
    """
    services: Services = request.app.state.services
    return services


ServicesDependency = Annotated[Services, Depends(get_services)]
authenticated = Depends(authenticate)
