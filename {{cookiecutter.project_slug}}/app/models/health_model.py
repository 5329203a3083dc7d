"""``/health`` and ``/ready``."""

from typing import Literal

from pydantic import BaseModel


class HealthResponse(BaseModel):
    """The process is alive."""

    status: Literal["ok"] = "ok"


class ReadyResponse(BaseModel):
    """The service can answer, or why not."""

    status: Literal["ready", "loading", "failed"]
    device: str
    reason: str | None = None
