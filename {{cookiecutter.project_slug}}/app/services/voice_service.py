"""A spoken question to a spoken answer: the whole pipeline."""

import asyncio
import time
from dataclasses import dataclass, field

from app.ai.stt.base import TranscribeOptions
from app.core import metrics
from app.core.config import Settings
from app.core.errors import ErrorCode, ServiceError
from app.core.logger import get_logger
from app.models.openai_model import AudioFormat
from app.repositories.audio_repository import AudioRepository
from app.repositories.upload_repository import Readable
from app.services.chat_service import ChatService
from app.services.speech_service import SpeechService
from app.services.transcription_service import TranscriptionService

SPEECH_FORMAT: AudioFormat = "wav"
log = get_logger(__name__)


@dataclass(frozen=True)
class SpokenAnswer:
    """A turn of a spoken conversation; no ``tts_url`` when the voice is down."""

    query: str
    answer: str
    tts_url: str | None
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds by step: ``stt``, ``llm``, ``tts``, ``total``."""


class VoiceService:
    """Transcribes a question, answers it as a typed one, and speaks the answer."""

    def __init__(
        self,
        transcription: TranscriptionService,
        chat: ChatService,
        speech: SpeechService,
        audio: AudioRepository,
        settings: Settings,
    ) -> None:
        self._transcription = transcription
        self._chat = chat
        self._speech = speech
        self._audio = audio
        self._settings = settings

    async def ask(
        self, upload: Readable, options: TranscribeOptions, *, slow: bool
    ) -> SpokenAnswer:
        """Answer a recording.

        Raises:
            ServiceError: NO_SPEECH, AUDIO_*, QUEUE_FULL or NOT_READY. A language model that is
                down gives the fallback sentence, a voice that is down the text alone.
        """
        clock = StepClock()
        try:
            query = await self._understand(upload, options, clock)
            answer = await self._chat.answer(query)
            clock.lap("llm")
        except ServiceError as error:
            _log(clock.total(), error.code.name)
            raise
        url, error_code = await self._speak(answer, slow=slow)
        clock.lap("tts")
        seconds = clock.total()
        _log(seconds, error_code)
        return SpokenAnswer(query, answer, url, seconds)

    async def _understand(
        self, upload: Readable, options: TranscribeOptions, clock: "StepClock"
    ) -> str:
        """Return what was asked. Raises NO_SPEECH when nobody spoke."""
        transcript = await self._transcription.transcribe(upload, options)
        clock.lap("stt")
        if not transcript.text:
            raise ServiceError(ErrorCode.NO_SPEECH)
        return transcript.text

    async def _speak(self, answer: str, *, slow: bool) -> tuple[str | None, str | None]:
        """Return the address of the spoken answer, or the code of what went wrong."""
        speed = self._settings.tts_slow_speed if slow else 1.0
        limit = self._settings.tts_max_characters
        try:
            data = await self._speech.speak_file(answer[:limit], SPEECH_FORMAT, speed=speed)
            return await asyncio.to_thread(self._audio.save, data, SPEECH_FORMAT), None
        except Exception as error:
            code = error.code if isinstance(error, ServiceError) else ErrorCode.ENGINE_FAILED
            log.exception("tts_failed", error_code=code.name)
            metrics.DEGRADED_ANSWERS.labels("tts").inc()
            return None, code.name


def _log(seconds: dict[str, float], error_code: str | None) -> None:
    fields = {f"{step}_seconds": value for step, value in seconds.items()}
    log.info("voice_request", error_code=error_code, **fields)


class StepClock:
    """Measures the seconds of each step."""

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()
        self._seconds: dict[str, float] = {}

    def lap(self, step: str) -> None:
        """End a step."""
        now = time.perf_counter()
        self._seconds[step] = round(now - self._last, 3)
        self._last = now

    def total(self) -> dict[str, float]:
        """Return every step and their ``total``."""
        return {**self._seconds, "total": round(self._last - self._started, 3)}
