"""Supertonic: neural voices on ONNX Runtime, 31 languages with Korean."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field
from supertonic import AVAILABLE_LANGUAGES, AVAILABLE_MODELS, TTS, UNKNOWN_LANGUAGE, Style

from app.ai.audio import Waveform
from app.ai.tts.base import SpeechOptions
from app.ai.weights import local_weights
from app.core.config import Settings, SettingsSource

# The package's own range; outside it it raises.
SLOWEST, FASTEST = 0.7, 2.0


class EngineSettings(SettingsSource):
    """Settings of this engine alone."""

    tts_model: str = "supertonic-3"
    """A model by name, fetched once, or a folder of its files."""
    tts_steps: Annotated[int, Field(ge=1, le=100)] = 8
    """Denoising steps: more are better and slower (the package's default is 8)."""
    tts_threads: Annotated[int, Field(ge=1, le=64)] = 2
    """CPU threads of one sentence."""


class Supertonic:
    """Supertonic's voices."""

    def __init__(self, tts: TTS, own: EngineSettings) -> None:
        self.model_name = Path(own.tts_model).name
        self.voices = tuple(tts.voice_style_names)
        self._tts = tts
        self._steps = own.tts_steps
        self._style = lru_cache(maxsize=32)(self._read_style)

    def warm_up(self) -> None:
        """Speak a word."""
        self.speak("Hello", SpeechOptions(self.voices[0], language="en"))

    def speak(self, text: str, options: SpeechOptions) -> Waveform:
        """Speak a text. See `TextToSpeech`."""
        language = options.language if options.language in AVAILABLE_LANGUAGES else UNKNOWN_LANGUAGE
        samples, _ = self._tts.synthesize(
            self._pronounceable(text),
            voice_style=self._style(options.voice),
            total_steps=self._steps,
            speed=min(max(options.speed, SLOWEST), FASTEST),
            lang=language,
        )
        return Waveform(np.asarray(samples, np.float32).reshape(-1), self._tts.sample_rate)

    def _read_style(self, voice: str) -> Style:
        return self._tts.get_voice_style(voice)

    def _pronounceable(self, text: str) -> str:
        """Return the text without characters that the model has no sound for."""
        _, unknown = self._tts.model.text_processor.validate_text(text)
        return "".join(c for c in text if c not in unknown)


def load(settings: Settings, own: EngineSettings) -> list[Supertonic]:
    """Load the voices; ONNX Runtime's sessions are safe in any thread, so workers share them."""
    name, models_dir = own.tts_model, settings.models_dir
    by_name = name in AVAILABLE_MODELS
    folder = models_dir / name if by_name else local_weights(name, models_dir, "TTS_MODEL")
    if folder is None:
        known = ", ".join(AVAILABLE_MODELS)
        raise FileNotFoundError(f"TTS_MODEL names {name}, which is no folder and none of {known}")
    tts = TTS(
        model=name if by_name else "supertonic-3",
        model_dir=folder,
        auto_download=by_name,
        intra_op_num_threads=own.tts_threads,
    )
    return [Supertonic(tts, own)] * settings.tts_workers
