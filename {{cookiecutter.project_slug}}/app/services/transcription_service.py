"""Recordings to text."""

import asyncio
from dataclasses import replace

from app.ai.audio import DecodeLimits, decode
from app.ai.engines import Engines
from app.ai.stt.base import Segment, TranscribeOptions, Transcript
from app.core import metrics
from app.core.config import Settings
from app.core.errors import ErrorCode, ServiceError
from app.core.tracing import step
from app.repositories.upload_repository import Readable, stored
from app.utils.text import normalise

AUTO = "auto"


class TranscriptionService:
    """Decodes an upload and transcribes it."""

    def __init__(self, engines: Engines, settings: Settings) -> None:
        self._engines = engines
        self._limits = DecodeLimits(settings.audio_max_seconds, settings.decode_timeout_seconds)
        spoken = settings.spoken_language
        self._language = None if spoken == AUTO else spoken
        # Each decoding is a process and holds a recording in memory.
        self._decoders = asyncio.Semaphore(settings.stt_workers + 1)

    async def transcribe(self, upload: Readable, options: TranscribeOptions) -> Transcript:
        """Return what is said in the upload; no segments when nobody speaks.

        A language that the caller does not name is the settings' one.

        Raises:
            ServiceError: AUDIO_*, LANGUAGE_NOT_FOUND, QUEUE_FULL or NOT_READY.
        """
        pool = self._engines.stt
        pool.refuse_if_full()
        chosen = replace(options, language=self._language_for(options, pool.engine.languages))
        with step("stt") as span:
            async with self._decoders, stored(upload) as file:
                if not file.size:
                    raise ServiceError(ErrorCode.AUDIO_EMPTY)
                sound = await decode(file.path, file.head, self._limits)
            span.set_attribute("audio.seconds", sound.seconds)
            transcript = await pool.run(lambda engine: engine.transcribe(sound.samples, chosen))
        metrics.AUDIO_SECONDS.labels("stt").inc(sound.seconds)
        return replace(transcript, segments=tuple(_composed(s) for s in transcript.segments))

    def _language_for(self, options: TranscribeOptions, known: frozenset[str]) -> str | None:
        """Return the language to listen for; None lets the model detect it."""
        if options.language == AUTO:
            return None
        language = options.language or self._language
        if language is not None and language not in known:
            raise ServiceError(ErrorCode.LANGUAGE_NOT_FOUND, language=language)
        return language


def _composed(segment: Segment) -> Segment:
    """Return the segment with its text normalised, the space before it kept."""
    text = normalise(segment.text)
    return replace(segment, text=f" {text}" if segment.text[:1].isspace() else text)
