"""The page to try the service in a browser."""

from fastapi import APIRouter
from fastapi.responses import FileResponse

from app.core.config import ROOT

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> FileResponse:
    """Return the page; it asks for the API key itself."""
    return FileResponse(ROOT / "templates" / "index.html")
