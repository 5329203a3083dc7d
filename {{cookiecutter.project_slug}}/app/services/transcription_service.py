"""Recordings to text."""

from dataclasses import replace

from app.ai.audio import DecodeLimits, decode
from app.ai.engines import Engines
from app.ai.stt.base import Segment, TranscribeOptions, Transcript
from app.core.config import Settings
from app.core.errors import ErrorCode, ServiceError
from app.repositories.upload_repository import Readable, stored
from app.utils.text import normalise


class TranscriptionService:
    """Decodes an upload and transcribes it."""

    def __init__(self, engines: Engines, settings: Settings) -> None:
        self._engines = engines
        self._limits = DecodeLimits(settings.audio_max_seconds, settings.decode_timeout_seconds)
        spoken = settings.spoken_language
        self._language = None if spoken == "auto" else spoken

    async def transcribe(self, upload: Readable, options: TranscribeOptions) -> Transcript:
        """Return what is said in the upload; no segments when nobody speaks.

        A language that the caller does not name is the settings' one.

        Raises:
            ServiceError: AUDIO_*, QUEUE_FULL or NOT_READY.
        """
        pool = self._engines.stt
        async with stored(upload) as file:
            if not file.size:
                raise ServiceError(ErrorCode.AUDIO_EMPTY)
            sound = await decode(file.path, file.head, self._limits)
        chosen = replace(options, language=options.language or self._language)
        transcript = await pool.run(lambda engine: engine.transcribe(sound.samples, chosen))
        return replace(transcript, segments=tuple(_composed(s) for s in transcript.segments))


def _composed(segment: Segment) -> Segment:
    """Return the segment with its text normalised, the space before it kept."""
    text = normalise(segment.text)
    return replace(segment, text=f" {text}" if segment.text[:1].isspace() else text)
