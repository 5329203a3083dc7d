"""``/health`` and ``/ready``."""

from typing import Literal

from pydantic import BaseModel


class HealthResponse(BaseModel):
    """The process is alive and its engines work, or which one does not."""

    status: Literal["ok", "broken"]
    version: str
    reason: str | None = None


class ReadyResponse(BaseModel):
    """The service can answer, or why not."""

    status: Literal["ready", "loading", "failed", "draining"]
    version: str
    device: str
    reason: str | None = None
