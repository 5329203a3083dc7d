"""The two forms of an error."""

from pydantic import BaseModel


class ErrorResponse(BaseModel):
    """An error on ``/api``."""

    error_code: str
    """Stable name of the error."""
    message: str
    """A sentence for a person."""
    detail: str | None = None
    """Technical words for a developer."""


class OpenAIError(BaseModel):
    """What OpenAI's clients read."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class OpenAIErrorResponse(BaseModel):
    """An error on ``/v1``."""

    error: OpenAIError
