"""Stand-ins for the engines, which do at once, and only, what a test tells them."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from app.ai.audio import Samples, Waveform
from app.ai.devices import cpu
from app.ai.engines import Configuration
from app.ai.llm.base import ChatEnd, ChatMessage, ChatOptions, Emit
from app.ai.stt.base import Segment, TranscribeOptions, Transcript, Word
from app.ai.tts.base import SpeechOptions
from app.core.config import Settings, SettingsSource
from tests.helpers import PATIENCE, tone

SPEECH_RATE = 24_000
HEARD = (
    Segment(0.0, 0.8, " 여보세요,", (1, 2), 0.0, -0.2, 1.1, 0.01, (Word(" 여보세요,", 0.1, 0.7),)),
    Segment(0.8, 1.5, " 제 말 들려요?", (3,), 0.0, -0.3, 1.0, 0.02, (Word(" 들려요?", 0.9, 1.4),)),
)
ENDED = ChatEnd("stop", 12, 3)


@dataclass
class Double:
    """What the three have in common."""

    model_name: str = "double"
    error: Exception | None = None
    """Raised by the next call and all that follow."""
    calls: list[Any] = field(default_factory=list)
    """What each call was given."""
    open: threading.Event = field(default_factory=threading.Event)
    """Calls wait while it is cleared."""

    def __post_init__(self) -> None:
        self.open.set()

    def warm_up(self) -> None:
        pass

    def note(self, *call: Any) -> None:
        self.calls.append(call)
        assert self.open.wait(PATIENCE)
        if self.error:
            raise self.error


@dataclass
class FakeSpeechToText(Double):
    languages = frozenset({"en", "ko"})

    segments: tuple[Segment, ...] = HEARD

    def transcribe(self, samples: Samples, options: TranscribeOptions) -> Transcript:
        self.note(samples, options)
        return Transcript(options.language or "ko", len(samples) / 16_000, self.segments)


@dataclass
class FakeChatModel(Double):
    pieces: tuple[str, ...] = ("네, ", "잘 ", "들립니다.")
    end: ChatEnd = ENDED

    def chat(self, messages: Sequence[ChatMessage], options: ChatOptions, emit: Emit) -> ChatEnd:
        self.note(list(messages), options)
        for piece in self.pieces:
            emit(piece)
        return self.end


@dataclass
class FakeTextToSpeech(Double):
    voices: tuple[str, ...] = ("F1", "M1")

    def speak(self, text: str, options: SpeechOptions) -> Waveform:
        self.note(text, options)
        return Waveform(tone(0.1, SPEECH_RATE), SPEECH_RATE)


@dataclass
class Doubles:
    """One of each, and how they are put in the engines' place."""

    stt: FakeSpeechToText = field(default_factory=lambda: FakeSpeechToText("double-stt"))
    llm: FakeChatModel = field(default_factory=lambda: FakeChatModel("double-llm"))
    tts: FakeTextToSpeech = field(default_factory=lambda: FakeTextToSpeech("double-tts"))

    def configuration(self, settings: Settings) -> Configuration:
        """Return what `read_configuration` would, were the doubles engines."""
        modules = {
            task: engine_module(lambda task=task: [getattr(self, task)])
            for task in ("stt", "llm", "tts")
        }
        return Configuration(settings, modules, {task: SettingsSource() for task in modules}, cpu)


def engine_module(engines: Callable[[], list[Double]]) -> ModuleType:
    """Return a module of ``app/ai/<task>`` whose ``load`` gives these engines."""

    def load(settings: Settings, own: SettingsSource) -> list[Double]:
        return engines()

    module = ModuleType("app.ai.task.double_engine")
    module.load = load  # type: ignore[attr-defined]
    module.EngineSettings = SettingsSource  # type: ignore[attr-defined]
    return module
