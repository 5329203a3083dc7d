"""What every voice takes and returns."""

from dataclasses import dataclass
from typing import Protocol

from app.ai.audio import Waveform


@dataclass(frozen=True)
class SpeechOptions:
    """How a text is to be spoken."""

    voice: str
    """One of the engine's voices."""
    speed: float = 1.0
    """1 is normal; engines with a narrower range take their nearest."""
    language: str | None = None
    """ISO 639-1 code of the text, None when it is not known."""


class TextToSpeech(Protocol):
    """A voice; used by one thread at a time."""

    @property
    def model_name(self) -> str:
        """Name for the list of models."""
        ...

    @property
    def voices(self) -> tuple[str, ...]:
        """Names of the voices; none when only the server knows them."""
        ...

    def warm_up(self) -> None:
        """Do a first, small piece of work, so that no caller waits for what is done once."""
        ...

    def speak(self, text: str, options: SpeechOptions) -> Waveform:
        """Speak a text of a sentence or a few.

        Raises:
            ServiceError: ENGINE_FAILED.
        """
        ...
