"""An engine for every task, as a team would add one: it does at once, and only, what it is told.

The tests put it beside the project's own, in ``app/ai/<task>``.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from app.ai.llm.base import ChatEnd, ChatMessage, ChatOptions, Emit
from app.core.config import Settings, SettingsSource

WAIT = "wait "
STEP = 0.01


class EngineSettings(SettingsSource):
    """It has none."""


class Patient:
    """Answers in two words. When asked to wait, it says the second once a file is there."""

    model_name = "patient"
    voices = ("F1",)
    languages = frozenset({"en"})

    def warm_up(self) -> None:
        pass

    def chat(self, messages: Sequence[ChatMessage], options: ChatOptions, emit: Emit) -> ChatEnd:
        question = messages[-1].content
        emit("first ")
        if question.startswith(WAIT):
            sign = Path(question.removeprefix(WAIT))
            sign.with_suffix(".begun").touch()
            while not sign.exists():
                time.sleep(STEP)
        emit("last")
        return ChatEnd("stop", 1, 2)


def load(settings: Settings, own: EngineSettings) -> list[Patient]:
    return [Patient() for _ in range(settings.llm_workers)]
