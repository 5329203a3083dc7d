"""Who may call: API keys, compared in constant time."""

import hmac
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.core.config import Settings
from app.core.errors import ErrorCode, ServiceError
from app.core.logger import bind_user

ANONYMOUS = "anonymous"
bearer = HTTPBearer(auto_error=False, description="An API key of this service.")


def find_user(settings: Settings, key: str) -> str | None:
    """Return the name of the caller who has this key.

    Every key is compared, in a time that tells nothing about how much of it was right.
    """
    found = None
    for name, known in settings.api_keys.items():
        if hmac.compare_digest(known.get_secret_value().encode(), key.encode()):
            found = name
    return found


async def authenticate(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> str:
    """Return the caller's name, and put it into the logs of this request.

    Raises:
        ServiceError: UNAUTHORIZED, when no known key came with the request.
    """
    settings: Settings = request.app.state.settings
    user = find_user(settings, credentials.credentials if credentials else "")
    if user is None and settings.auth_required:
        raise ServiceError(ErrorCode.UNAUTHORIZED)
    bind_user(request.scope, user or ANONYMOUS)
    return user or ANONYMOUS
