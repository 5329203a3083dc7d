"""Any server with OpenAI's chat API: vLLM, Ollama, llama.cpp, a cloud."""

from collections.abc import Sequence
from typing import Annotated, Literal, cast

from openai import OpenAI, OpenAIError
from openai.types.chat import ChatCompletionMessageParam
from pydantic import Field, HttpUrl, SecretStr

from app.ai.llm.base import ChatEnd, ChatMessage, ChatOptions, Emit
from app.core.config import Settings, SettingsSource
from app.core.errors import ErrorCode, ServiceError
from app.core.tracing import outgoing_headers

DEVICE = "server"
NO_KEY = "none"  # the client insists on a key, servers in a private network often have none


class EngineSettings(SettingsSource):
    """Settings of this engine alone."""

    llm_base_url: HttpUrl
    """Address of the server's API, with its ``/v1``."""
    llm_api_key: SecretStr = SecretStr("")
    """Key of the server."""
    llm_timeout_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Seconds that the server has for its next piece of an answer."""


class OpenAICompatibleChat:
    """A client of a chat server; its connections are pooled and safe in any thread."""

    def __init__(self, settings: Settings, own: EngineSettings) -> None:
        self.model_name = settings.llm_model
        self._client = OpenAI(
            base_url=str(own.llm_base_url),
            api_key=own.llm_api_key.get_secret_value() or NO_KEY,
            timeout=own.llm_timeout_seconds,
            max_retries=1,
        )

    def warm_up(self) -> None:
        """Leave the server alone: it may be paid for by the token."""

    def chat(self, messages: Sequence[ChatMessage], options: ChatOptions, emit: Emit) -> ChatEnd:
        """Write an answer. See `ChatModel`."""
        reason: Literal["stop", "length"] = "stop"
        pieces = prompt_tokens = completion_tokens = 0
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            stream = self._client.chat.completions.create(
                model=self.model_name,
                messages=cast("list[ChatCompletionMessageParam]", turns),
                max_tokens=options.max_tokens,
                temperature=options.temperature,
                top_p=options.top_p,
                stop=list(options.stop) or None,
                seed=options.seed,
                stream=True,
                stream_options={"include_usage": True},
                extra_headers=outgoing_headers(),
            )
            with stream:
                for chunk in stream:
                    if chunk.usage:
                        prompt_tokens = chunk.usage.prompt_tokens
                        completion_tokens = chunk.usage.completion_tokens
                    for choice in chunk.choices:
                        if choice.delta.content:
                            pieces += 1
                            emit(choice.delta.content)
                        if choice.finish_reason == "length":
                            reason = "length"
        except OpenAIError as error:
            raise ServiceError(
                ErrorCode.ENGINE_FAILED, task="LLM", detail=type(error).__name__
            ) from error
        return ChatEnd(reason, prompt_tokens, completion_tokens or pieces)


def load(settings: Settings, own: EngineSettings) -> list[OpenAICompatibleChat]:
    """Return a client for each worker; they share its connections."""
    return [OpenAICompatibleChat(settings, own)] * settings.llm_workers
