"""Any server with OpenAI's speech API."""

import io
import wave
from typing import Annotated

import numpy as np
from openai import OpenAI, OpenAIError
from pydantic import Field, HttpUrl, SecretStr

from app.ai.audio import Waveform
from app.ai.tts.base import SpeechOptions
from app.core.config import Settings, SettingsSource
from app.core.errors import ErrorCode, ServiceError
from app.core.tracing import outgoing_headers

DEVICE = "server"
NO_KEY = "none"  # the client insists on a key, servers in a private network often have none


class EngineSettings(SettingsSource):
    """Settings of this engine alone."""

    tts_model: str
    """Name that the server has for the model."""
    tts_base_url: HttpUrl
    """Address of the server's API, with its ``/v1``."""
    tts_api_key: SecretStr = SecretStr("")
    """Key of the server."""
    tts_timeout_seconds: Annotated[float, Field(gt=0)] = 30.0
    """Seconds that the server has for one piece of text."""


class OpenAICompatibleSpeech:
    """A client of a speech server; its connections are pooled and safe in any thread."""

    voices: tuple[str, ...] = ()

    def __init__(self, own: EngineSettings) -> None:
        self.model_name = own.tts_model
        self._client = OpenAI(
            base_url=str(own.tts_base_url),
            api_key=own.tts_api_key.get_secret_value() or NO_KEY,
            timeout=own.tts_timeout_seconds,
            max_retries=1,
        )

    def warm_up(self) -> None:
        """Leave the server alone: it may be paid for by the character."""

    def speak(self, text: str, options: SpeechOptions) -> Waveform:
        """Speak a text. See `TextToSpeech`."""
        try:
            response = self._client.audio.speech.create(
                model=self.model_name,
                voice=options.voice,
                input=text,
                speed=options.speed,
                response_format="wav",
                extra_headers=outgoing_headers(),
            )
            return _read_wav(response.content)
        except (OpenAIError, wave.Error, EOFError, ValueError) as error:
            raise ServiceError(
                ErrorCode.ENGINE_FAILED, task="TTS", detail=type(error).__name__
            ) from error


def load(settings: Settings, own: EngineSettings) -> list[OpenAICompatibleSpeech]:
    """Return a client for each worker; they share its connections."""
    return [OpenAICompatibleSpeech(own)] * settings.tts_workers


def _read_wav(data: bytes) -> Waveform:
    """Read 16-bit sound, mixed down to one channel."""
    with wave.open(io.BytesIO(data)) as file:
        channels, width, rate, *_ = file.getparams()
        if width != 2:
            raise wave.Error(f"{8 * width} bits")
        frames = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    mono = frames.reshape(-1, channels).mean(axis=1, dtype=np.float32)
    return Waveform(mono / np.float32(32768), rate)
