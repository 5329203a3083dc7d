"""Text to sound."""

import asyncio
import time
from functools import partial

import numpy as np

from app.ai.audio import Waveform, encode
from app.ai.engines import Engines
from app.ai.tts.base import SpeechOptions, TextToSpeech
from app.core import metrics
from app.core.config import Settings
from app.core.errors import ErrorCode, ServiceError
from app.core.tracing import step
from app.models.openai_model import AudioFormat
from app.utils.text import language_of, speakable, speech_pieces

PAUSE_SECONDS = 0.2
ENCODE_SECONDS = 60.0
# Names that OpenAI's clients send; here they all mean the settings' voice.
OPENAI_VOICES = frozenset(
    {
        *("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin"),
        *("nova", "onyx", "sage", "shimmer", "verse"),
    }
)


class SpeechService:
    """Speaks text, a piece at a time, so that one long text holds no worker for long."""

    def __init__(self, engines: Engines, settings: Settings) -> None:
        self._engines = engines
        self._settings = settings

    async def speak(self, text: str, voice: str | None = None, speed: float = 1.0) -> Waveform:
        """Return the text as sound.

        Raises:
            ServiceError: TEXT_EMPTY, TEXT_TOO_LONG, VOICE_NOT_FOUND, ENGINE_FAILED,
                QUEUE_FULL or NOT_READY.
        """
        limit = self._settings.tts_max_characters
        if len(text) > limit:
            raise ServiceError(ErrorCode.TEXT_TOO_LONG, limit=limit)
        pieces = speech_pieces(speakable(text))
        if not any(c.isalnum() for piece in pieces for c in piece):
            raise ServiceError(ErrorCode.TEXT_EMPTY)
        pool = self._engines.tts
        options = SpeechOptions(
            self._voice(pool.engine.voices, voice), speed, self._language_of(text)
        )
        sounds: list[Waveform] = []
        asked = time.perf_counter()
        with step("tts"):
            for piece in pieces:
                sounds.append(await pool.run(partial(_speak, piece, options)))
                if len(sounds) == 1:
                    metrics.FIRST_AUDIO_SECONDS.observe(time.perf_counter() - asked)
        metrics.AUDIO_SECONDS.labels("tts").inc(sum(sound.seconds for sound in sounds))
        return await asyncio.to_thread(_joined, sounds)

    async def speak_file(
        self, text: str, form: AudioFormat, voice: str | None = None, speed: float = 1.0
    ) -> bytes:
        """Return the text as an audio file. Raises as `speak`."""
        return await encode(await self.speak(text, voice, speed), form, ENCODE_SECONDS)

    def _language_of(self, text: str) -> str | None:
        """Return the text's language; for figures alone, the one that the callers speak."""
        spoken = self._settings.spoken_language
        return language_of(text) or (None if spoken == "auto" else spoken)

    def _voice(self, known: tuple[str, ...], asked: str | None) -> str:
        """Return the voice to use; an engine that knows no names takes any."""
        if asked is None or (asked in OPENAI_VOICES and asked not in known and known):
            return self._settings.tts_voice
        if known and asked not in known:
            raise ServiceError(ErrorCode.VOICE_NOT_FOUND, voice=asked, known=", ".join(known))
        return asked


def _speak(text: str, options: SpeechOptions, engine: TextToSpeech) -> Waveform:
    return engine.speak(text, options)


def _joined(sounds: list[Waveform]) -> Waveform:
    """Return the sounds one after the other, with a breath between them."""
    rate = sounds[0].sample_rate
    pause = np.zeros(int(PAUSE_SECONDS * rate), np.float32)
    parts = [part for sound in sounds for part in (sound.samples, pause)]
    return Waveform(np.concatenate(parts[:-1]), rate)
