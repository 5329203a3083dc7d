"""Questions to answers."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from app.ai.engines import Engines
from app.ai.llm.base import ChatEnd, ChatMessage, ChatOptions
from app.core import metrics
from app.core.config import Settings
from app.core.errors import ErrorCode, ServiceError
from app.core.logger import get_logger
from app.core.tracing import step
from app.utils.text import normalise

FALLBACK = {
    "en": "I cannot answer right now. Please try again in a moment.",
    "ko": "지금은 답변을 드릴 수 없습니다. 잠시 후 다시 시도해 주세요.",
}
# The caller can do something about these; they are told instead of the fallback answer.
CALLERS_ERRORS = {ErrorCode.CONTEXT_TOO_LONG, ErrorCode.QUEUE_FULL, ErrorCode.NOT_READY}
log = get_logger(__name__)


@dataclass(frozen=True)
class Completion:
    """A whole answer and how it ended."""

    text: str
    end: ChatEnd


class ChatService:
    """One pipeline for typed and spoken questions."""

    def __init__(self, engines: Engines, settings: Settings) -> None:
        self._engines = engines
        self._settings = settings

    def options(
        self,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        stop: tuple[str, ...] = (),
        seed: int | None = None,
    ) -> ChatOptions:
        """Return options with the settings' values where the caller has none."""
        settings = self._settings
        return ChatOptions(
            max_tokens=min(max_tokens or settings.llm_max_tokens, settings.llm_max_tokens_limit),
            temperature=settings.llm_temperature if temperature is None else temperature,
            top_p=1.0 if top_p is None else top_p,
            stop=tuple(text for text in stop if text),
            seed=seed,
        )

    async def answer(self, query: str, history: Sequence[ChatMessage] = ()) -> str:
        """Return the answer to a question, or the fallback sentence when the model is down."""
        system = ChatMessage("system", self._settings.system_prompt)
        messages = [system, *history, ChatMessage("user", normalise(query))]
        try:
            completion = await self.complete(messages, self.options())
        except Exception as error:
            if isinstance(error, ServiceError) and error.code in CALLERS_ERRORS:
                raise
            log.exception("llm_failed", error_code=ErrorCode.ENGINE_FAILED.name)
            metrics.DEGRADED_ANSWERS.labels("llm").inc()
            return FALLBACK[self._settings.message_language]
        answer = completion.text.strip() or FALLBACK[self._settings.message_language]
        if self._settings.log_texts:
            log.info("texts", query=query, answer=answer)
        return answer

    async def complete(self, messages: Sequence[ChatMessage], options: ChatOptions) -> Completion:
        """Return the whole answer to a conversation.

        Raises:
            ServiceError: CONTEXT_TOO_LONG, ENGINE_FAILED, QUEUE_FULL or NOT_READY.
        """
        text = ""
        async with aclosing(self.stream(messages, options)) as pieces:
            async for item in pieces:
                if isinstance(item, ChatEnd):
                    return Completion(text, item)
                text += item
        raise ServiceError(ErrorCode.ENGINE_FAILED, task="LLM", detail="the answer has no end")

    async def stream(
        self, messages: Sequence[ChatMessage], options: ChatOptions
    ) -> AsyncGenerator[str | ChatEnd]:
        """Yield an answer as it is written, and at last how it ended. Raises as `complete`."""
        pool = self._engines.llm
        pieces: AsyncGenerator[str | ChatEnd] = pool.stream(
            lambda engine, emit: emit(engine.chat(messages, options, emit))
        )
        asked = time.perf_counter()
        begun = False
        with step("llm") as span:
            async with aclosing(pieces):
                async for piece in pieces:
                    if not begun:
                        begun = True
                        metrics.FIRST_TOKEN_SECONDS.observe(time.perf_counter() - asked)
                    if isinstance(piece, ChatEnd):
                        metrics.TOKENS.labels("prompt").inc(piece.prompt_tokens)
                        metrics.TOKENS.labels("completion").inc(piece.completion_tokens)
                        span.set_attribute("llm.completion_tokens", piece.completion_tokens)
                    yield piece
