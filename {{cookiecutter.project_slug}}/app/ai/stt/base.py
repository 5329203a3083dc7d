"""What every recogniser takes and returns."""

from dataclasses import dataclass
from typing import Literal, Protocol

from app.ai.audio import Samples


@dataclass(frozen=True)
class TranscribeOptions:
    """How one recording is to be read."""

    language: str | None = None
    """ISO 639-1 code of the speech; None lets the model detect it."""
    task: Literal["transcribe", "translate"] = "transcribe"
    """Text in the language spoken, or in English."""
    prompt: str | None = None
    """Words that stand before: names and spellings to expect."""
    temperature: float | None = None
    """None: greedy search with the engine's own fall-backs."""
    word_timestamps: bool = False
    """Also give the time of every word."""


@dataclass(frozen=True)
class Word:
    """A word with its time in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Segment:
    """A stretch of speech, times in seconds, with Whisper's own measures of confidence."""

    start: float
    end: float
    text: str
    tokens: tuple[int, ...]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Transcript:
    """What was said. No segments: nobody spoke."""

    language: str
    seconds: float
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(segment.text for segment in self.segments).strip()


class SpeechToText(Protocol):
    """A recogniser; used by one thread at a time."""

    @property
    def model_name(self) -> str:
        """Name for the list of models."""
        ...

    @property
    def languages(self) -> frozenset[str]:
        """ISO 639-1 codes of the languages it knows."""
        ...

    def warm_up(self) -> None:
        """Do a first, small piece of work, so that no caller waits for what is done once."""
        ...

    def transcribe(self, samples: Samples, options: TranscribeOptions) -> Transcript:
        """Transcribe a whole recording, however long.

        Args:
            samples: mono sound of shape (n,) at `app.ai.audio.SAMPLE_RATE`.
            options: how to read it.
        """
        ...
