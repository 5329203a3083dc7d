"""OpenAI's own Whisper on PyTorch."""

import copy
import json
import threading
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import whisper
from silero_vad import get_speech_timestamps_sequence, load_silero_vad
from whisper.model import Whisper
from whisper.tokenizer import LANGUAGES

from app.ai.audio import SAMPLE_RATE, Samples
from app.ai.stt.base import Segment, TranscribeOptions, Transcript, Word
from app.ai.weights import local_weights
from app.core.config import Settings, SettingsSource

# The fall-back ladder of the Whisper paper (section 4.5): hotter when the text repeats itself
# or the model is unsure.
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SILENCE = np.zeros(SAMPLE_RATE, np.float32)
Span = tuple[float, float]
# Finding word times switches attention over to another form for every model of the process,
# and back: only one recording at a time may do that.
word_times = threading.Lock()


class EngineSettings(SettingsSource):
    """Settings of this engine alone."""

    stt_vad_threshold: float = 0.5
    """Probability from which a 32 ms frame counts as speech."""


class OpenAIWhisper:
    """One worker's Whisper.

    `Whisper` keeps the state of a decoding in the model, so two threads in one model raise or,
    worse, return wrong text: each worker has a clone, which shares the weights.
    """

    def __init__(
        self, model: Whisper, detector: Any, settings: Settings, own: EngineSettings
    ) -> None:
        self.model_name = Path(settings.stt_model).stem
        self.languages = frozenset(LANGUAGES)
        self._model = model
        self._half = settings.device == "cuda"
        self._beam_size = settings.stt_beam_size
        self._threads = settings.stt_threads
        self._threshold = own.stt_vad_threshold if settings.stt_vad else None
        self._detector = detector

    def warm_up(self) -> None:
        """Encode and decode a second of silence."""
        self._model.transcribe(SILENCE, language="en", temperature=0.0, fp16=self._half)

    def transcribe(self, samples: Samples, options: TranscribeOptions) -> Transcript:
        """Transcribe a whole recording, however long. See `SpeechToText`."""
        seconds = len(samples) / SAMPLE_RATE
        speech = self._find_speech(samples, seconds)
        if not speech:
            return Transcript(options.language or "", seconds, ())
        torch.set_num_threads(self._threads)
        language = options.language if self._model.is_multilingual else "en"
        with word_times if options.word_timestamps else nullcontext():
            result = self._transcribe(samples, language, options)
        segments = (_segment(part) for part in result["segments"] if _overlaps(part, speech))
        return Transcript(result["language"], seconds, tuple(segments))

    def _transcribe(
        self, samples: Samples, language: str | None, options: TranscribeOptions
    ) -> dict[str, Any]:
        result: dict[str, Any] = self._model.transcribe(
            samples,
            language=language,
            task=options.task,
            initial_prompt=options.prompt,
            temperature=TEMPERATURES if options.temperature is None else options.temperature,
            beam_size=self._beam_size,
            word_timestamps=options.word_timestamps,
            condition_on_previous_text=False,
            fp16=self._half,
            verbose=None,
        )
        return result

    def _find_speech(self, samples: Samples, seconds: float) -> list[Span]:
        """Return where somebody speaks, in seconds; everywhere without VAD."""
        if self._threshold is None:
            return [(0.0, seconds)]
        spans = get_speech_timestamps_sequence(samples, self._detector, threshold=self._threshold)
        return [(span["start"] / SAMPLE_RATE, span["end"] / SAMPLE_RATE) for span in spans]


def load(settings: Settings, own: EngineSettings) -> list[OpenAIWhisper]:
    """Load a checkpoint file or a size by name, and clone it for each worker."""
    name = settings.stt_model
    file = local_weights(name, settings.models_dir, "STT_MODEL")
    if file is None and name.endswith(".pt"):
        raise FileNotFoundError(f"STT_MODEL names {name}, but there is no such file")
    model = whisper.load_model(
        str(file or name), device=settings.device, download_root=str(settings.models_dir)
    )
    heads = file.with_suffix(".json") if file else None
    if heads and heads.is_file():
        _set_alignment_heads(model, json.loads(heads.read_text("utf-8"))["alignment_heads"])
    clones = [model, *(_clone(model) for _ in range(settings.stt_workers - 1))]
    detector = load_silero_vad(sequence=True)
    return [OpenAIWhisper(clone, detector, settings, own) for clone in clones]


def _clone(model: Whisper) -> Whisper:
    """Return a copy with state of its own and the same weights in memory."""
    shared = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    return copy.deepcopy(model, shared)


def _set_alignment_heads(model: Whisper, heads: Iterable[tuple[int, int]]) -> None:
    """Name the attention heads that follow the sound; word times come from them.

    A checkpoint has them in a file beside it, ``{"alignment_heads": [[layer, head], ...]}``;
    without it whisper takes the upper half of the layers, which is less exact.
    """
    mask = torch.zeros(model.dims.n_text_layer, model.dims.n_text_head, dtype=torch.bool)
    for layer, head in heads:
        mask[layer, head] = True
    model.register_buffer("alignment_heads", mask.to_sparse(), persistent=False)


def _overlaps(part: dict[str, Any], speech: list[Span]) -> bool:
    """Tell whether a segment has speech under it; sentences over silence are invented."""
    return any(start < part["end"] and part["start"] < end for start, end in speech)


def _segment(part: dict[str, Any]) -> Segment:
    words = (Word(w["word"], float(w["start"]), float(w["end"])) for w in part.get("words", ()))
    return Segment(
        start=float(part["start"]),
        end=float(part["end"]),
        text=part["text"],
        tokens=tuple(part["tokens"]),
        temperature=float(part["temperature"]),
        avg_logprob=float(part["avg_logprob"]),
        compression_ratio=float(part["compression_ratio"]),
        no_speech_prob=float(part["no_speech_prob"]),
        words=tuple(words),
    )
