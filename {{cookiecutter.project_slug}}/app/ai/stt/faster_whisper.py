"""Whisper on CTranslate2: int8 on the CPU, half precision on CUDA."""

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
from faster_whisper import WhisperModel

from app.ai.audio import SAMPLE_RATE, Samples
from app.ai.stt.base import Segment, TranscribeOptions, Transcript, Word
from app.ai.weights import local_weights
from app.core.config import Settings, SettingsSource

# The fall-back ladder of the Whisper paper (section 4.5): hotter when the text repeats itself
# or the model is unsure.
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SILENCE = np.zeros(SAMPLE_RATE, np.float32)
COMPUTE_TYPES = {"cpu": "int8", "cuda": "float16"}


class EngineSettings(SettingsSource):
    """Settings of this engine alone."""

    stt_compute_type: Literal["auto", "int8", "int8_float16", "float16", "bfloat16", "float32"] = (
        "auto"
    )
    """Number format of the weights; ``auto`` is int8 on the CPU and float16 on CUDA."""


class FasterWhisper:
    """A Whisper that all workers share: CTranslate2 keeps no state between calls."""

    def __init__(self, model: WhisperModel, settings: Settings) -> None:
        self.model_name = Path(settings.stt_model).name
        self.languages = frozenset(model.supported_languages)
        self._model = model
        self._beam_size = settings.stt_beam_size
        self._vad = settings.stt_vad

    def warm_up(self) -> None:
        """Encode and decode a second of silence."""
        segments, _ = self._model.transcribe(SILENCE, language="en", temperature=0.0)
        list(segments)

    def transcribe(self, samples: Samples, options: TranscribeOptions) -> Transcript:
        """Transcribe a whole recording, however long. See `SpeechToText`."""
        temperature = TEMPERATURES if options.temperature is None else options.temperature
        segments, info = self._model.transcribe(
            samples,
            language=options.language if self._model.model.is_multilingual else "en",
            task=options.task,
            initial_prompt=options.prompt,
            temperature=temperature,
            beam_size=self._beam_size,
            word_timestamps=options.word_timestamps,
            condition_on_previous_text=False,
            vad_filter=self._vad,
        )
        found = tuple(_segment(segment) for segment in segments)
        return Transcript(info.language, len(samples) / SAMPLE_RATE, found)


def load(settings: Settings, own: EngineSettings) -> list[FasterWhisper]:
    """Load a folder of weights or a size by name; one model serves every worker."""
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)  # two lines for each recording
    folder = local_weights(settings.stt_model, settings.models_dir, "STT_MODEL")
    compute_type = own.stt_compute_type
    model = WhisperModel(
        str(folder or settings.stt_model),
        device=settings.device,
        compute_type=COMPUTE_TYPES[settings.device] if compute_type == "auto" else compute_type,
        cpu_threads=settings.stt_threads,
        num_workers=settings.stt_workers,
        download_root=str(settings.models_dir),
    )
    return [FasterWhisper(model, settings)] * settings.stt_workers


def _segment(segment: Any) -> Segment:
    words = (Word(word.word, float(word.start), float(word.end)) for word in segment.words or ())
    return Segment(
        start=float(segment.start),
        end=float(segment.end),
        text=segment.text,
        tokens=tuple(segment.tokens),
        temperature=float(segment.temperature or 0.0),
        avg_logprob=float(segment.avg_logprob),
        compression_ratio=float(segment.compression_ratio),
        no_speech_prob=float(segment.no_speech_prob),
        words=tuple(words),
    )
