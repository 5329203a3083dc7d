"""Spoken questions."""

from typing import Annotated

from fastapi import APIRouter, File, Form, Response, UploadFile

from app.ai.stt.base import TranscribeOptions
from app.models.voice_model import VoiceChatResponse
from app.routers.dependencies import API_ERRORS, ServicesDependency, authenticated

router = APIRouter(
    prefix="/api", tags=["voice"], dependencies=[authenticated], responses=API_ERRORS
)


@router.post("/voice-chat")
async def voice_chat(
    services: ServicesDependency,
    response: Response,
    file: Annotated[UploadFile, File(description="A recording: wav, mp3, m4a, ogg, flac or webm")],
    language: Annotated[str | None, Form(max_length=8)] = None,
    slow: Annotated[bool, Form(description="Speak slowly")] = False,
) -> VoiceChatResponse:
    """Answer a spoken question, in text and speech.

    The seconds of each step are in the ``Server-Timing`` header (W3C; milliseconds).
    """
    spoken = await services.voice.ask(file, TranscribeOptions(language=language), slow=slow)
    response.headers["Server-Timing"] = ", ".join(
        f"{step};dur={1000 * seconds:.0f}" for step, seconds in spoken.seconds.items()
    )
    return VoiceChatResponse(query=spoken.query, answer=spoken.answer, tts_url=spoken.tts_url)
