"""The one place that turns errors into responses: ours on ``/api``, OpenAI's form on ``/v1``."""

import math

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app.core import metrics
from app.core.config import Settings
from app.core.errors import ErrorCode, ServiceError
from app.core.logger import get_logger
from app.core.middleware import REQUEST_ID_HEADER
from app.models.error_model import ErrorResponse, OpenAIError, OpenAIErrorResponse
from app.utils.masking import mask

OPENAI_PREFIX = "/v1/"
HTTP_ERRORS = {
    401: ErrorCode.UNAUTHORIZED,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    413: ErrorCode.BODY_TOO_LARGE,
}
log = get_logger(__name__)


def add_exception_handlers(app: FastAPI, settings: Settings) -> None:
    """Register the handlers; sentences are in the settings' language."""

    async def on_service_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ServiceError)
        return to_response(request, error, settings.message_language)

    async def on_invalid_request(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        detail = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors()
        )
        wrapped = ServiceError(ErrorCode.INVALID_REQUEST, detail=detail)
        return to_response(request, wrapped, settings.message_language)

    async def on_http_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        fallback = ErrorCode.INVALID_REQUEST if error.status_code < 500 else ErrorCode.INTERNAL
        code = HTTP_ERRORS.get(error.status_code, fallback)
        wrapped = ServiceError(code, limit=settings.upload_max_bytes)
        response = to_response(request, wrapped, settings.message_language)
        response.headers.update(error.headers or {})
        return response

    async def on_unexpected_error(request: Request, error: Exception) -> JSONResponse:
        log.error("unexpected_error", error_code=ErrorCode.INTERNAL.name, exc_info=error)
        response = to_response(request, ServiceError(ErrorCode.INTERNAL), settings.message_language)
        # This answer is sent from outside RequestLog, which would add it.
        response.headers[REQUEST_ID_HEADER] = request.state.request_id
        return response

    app.add_exception_handler(ServiceError, on_service_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, on_unexpected_error)


def to_response(request: Request, error: ServiceError, language: str) -> JSONResponse:
    """Return the error in the form of the address that was called, and log it."""
    message = mask(error.message(language))
    log.warning("request_refused", error_code=error.code.name, detail=error.detail)
    metrics.ERRORS.labels(error.code.name).inc()
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    if error.code is ErrorCode.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    body: ErrorResponse | OpenAIErrorResponse
    if request.url.path.startswith(OPENAI_PREFIX):
        body = openai_error(error, language)
    else:
        body = ErrorResponse(error_code=error.code.name, message=message, detail=error.detail)
    return JSONResponse(body.model_dump(), status_code=error.code.status, headers=headers)


def openai_error(error: ServiceError, language: str) -> OpenAIErrorResponse:
    """Return the error in OpenAI's form."""
    message = mask(error.message(language))
    text = f"{message} ({error.detail})" if error.detail else message
    kind = "server_error" if error.code.status >= 500 else "invalid_request_error"
    return OpenAIErrorResponse(
        error=OpenAIError(message=text, type=kind, code=error.code.name.lower())
    )
