"""What every language model takes and returns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from app.models.openai_model import Role

Emit = Callable[[str], None]


@dataclass(frozen=True)
class ChatMessage:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class ChatOptions:
    """How one answer is to be written."""

    max_tokens: int
    """The answer is cut there."""
    temperature: float
    """0 is greedy."""
    top_p: float = 1.0
    """Sample from the likeliest tokens that together have this probability."""
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these."""
    seed: int | None = None
    """Makes sampling repeatable, as far as the engine can."""


@dataclass(frozen=True)
class ChatEnd:
    """How an answer ended."""

    finish_reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int


class ChatModel(Protocol):
    """A language model; used by one thread at a time."""

    @property
    def model_name(self) -> str:
        """Name for the list of models."""
        ...

    def warm_up(self) -> None:
        """Do a first, small piece of work, so that no caller waits for what is done once."""
        ...

    def chat(self, messages: Sequence[ChatMessage], options: ChatOptions, emit: Emit) -> ChatEnd:
        """Write an answer.

        Args:
            messages: the conversation, a user's turn last.
            options: how to write.
            emit: takes each new piece of text; it raises when nobody listens any more, and
                the model stops by letting that exception through.

        Raises:
            ServiceError: CONTEXT_TOO_LONG, or ENGINE_FAILED when a server does not answer.
        """
        ...
