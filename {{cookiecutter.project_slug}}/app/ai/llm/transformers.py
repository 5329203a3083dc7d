"""A local model with Hugging Face transformers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from transformers import AutoModelForCausalLM, AutoTokenizer, TextStreamer
from transformers.utils import logging

from app.ai.llm.base import ChatEnd, ChatMessage, ChatOptions, Emit
from app.ai.weights import local_weights
from app.core.config import Settings, SettingsSource
from app.core.errors import ErrorCode, ServiceError


class EngineSettings(SettingsSource):
    """Settings of this engine alone."""

    llm_context_tokens: Annotated[int, Field(ge=64)] = 4096
    """Prompt and answer together; bounds the memory of one request."""
    llm_dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights; ``auto`` is half precision on CUDA, on the CPU as stored."""
    llm_threads: int | None = None
    """CPU threads of one answer; None is every core."""
    llm_revision: str = "main"
    """Commit or tag of a model that comes from the hub."""


class TransformersChat:
    """A causal language model with its chat template."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        settings: Settings,
        own: EngineSettings,
    ) -> None:
        self.model_name = Path(settings.llm_model).name
        self._model = model
        self._tokenizer = tokenizer
        self._context = own.llm_context_tokens
        self._threads = own.llm_threads or torch.get_num_threads()

    def warm_up(self) -> None:
        """Write one token."""
        options = ChatOptions(max_tokens=1, temperature=0)
        self.chat([ChatMessage("user", "Hello")], options, lambda _text: None)

    def chat(self, messages: Sequence[ChatMessage], options: ChatOptions, emit: Emit) -> ChatEnd:
        """Write an answer. See `ChatModel`."""
        torch.set_num_threads(self._threads)
        prompt = self._encode(messages)
        prompt_tokens = prompt["input_ids"].shape[1]
        room = self._context - prompt_tokens
        if room < 1:
            raise ServiceError(
                ErrorCode.CONTEXT_TOO_LONG, tokens=prompt_tokens, limit=self._context
            )
        if options.seed is not None:
            torch.manual_seed(options.seed)
        most = min(options.max_tokens, room)
        streamer = _Streamer(self._tokenizer, emit, options.stop)
        try:
            self._model.generate(
                **prompt,
                **_sampling(options),
                max_new_tokens=most,
                pad_token_id=self._tokenizer.pad_token_id or self._tokenizer.eos_token_id,
                streamer=streamer,
            )
        except _StopFound:
            return ChatEnd("stop", prompt_tokens, streamer.tokens)
        reason: Literal["stop", "length"] = "length" if streamer.tokens >= most else "stop"
        return ChatEnd(reason, prompt_tokens, streamer.tokens)

    def _encode(self, messages: Sequence[ChatMessage]) -> dict[str, torch.Tensor]:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        encoded = self._tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )
        return dict(encoded.to(self._model.device))


class _StopFound(Exception):  # noqa: N818 - not an error: the way out of generate()
    """The answer has reached one of the caller's stop texts."""


class _Streamer(TextStreamer):
    """Passes text on as soon as it is sure, and watches for stop texts.

    Text that may be the beginning of a stop text is held back until it is certain.
    """

    def __init__(self, tokenizer: Any, emit: Emit, stop: tuple[str, ...]) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self.tokens = 0
        self._emit = emit
        self._stop = stop
        self._held = ""
        self._hold = max((len(text) - 1 for text in stop), default=0)
        self._prompt_seen = False

    def put(self, value: torch.Tensor) -> None:
        """Take the next token; the first call brings the prompt."""
        if self._prompt_seen:
            self.tokens += value.numel()
        self._prompt_seen = True
        super().put(value)  # type: ignore[no-untyped-call]

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Emit what no stop text can claim any more."""
        self._held += text
        ends = [self._held.find(stop) for stop in self._stop if stop in self._held]
        if ends:
            self._pass(min(ends))
            raise _StopFound
        self._pass(len(self._held) - (0 if stream_end else self._hold))

    def _pass(self, length: int) -> None:
        if length > 0:
            ready, self._held = self._held[:length], self._held[length:]
            self._emit(ready)


def load(settings: Settings, own: EngineSettings) -> list[TransformersChat]:
    """Load a folder of weights or a model of the hub; workers share it."""
    folder = local_weights(settings.llm_model, settings.models_dir, "LLM_MODEL")
    name = str(folder or settings.llm_model)
    source: dict[str, Any] = (
        {} if folder else {"revision": own.llm_revision, "cache_dir": settings.models_dir}
    )
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    tokenizer = AutoTokenizer.from_pretrained(name, **source)
    dtype = number_format(own.llm_dtype, settings.device)
    model: Any = AutoModelForCausalLM.from_pretrained(name, dtype=dtype, **source)
    model = model.to(settings.device).eval()
    if not tokenizer.chat_template:
        raise ValueError(f"LLM_MODEL {name} has no chat template; choose an instruct model")
    return [TransformersChat(model, tokenizer, settings, own)] * settings.llm_workers


def number_format(wanted: str, device: str) -> str | torch.dtype:
    """Return the format to load weights in; older GPUs know float16 but not bfloat16."""
    if wanted != "auto" or device == "cpu":
        return wanted
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _sampling(options: ChatOptions) -> dict[str, Any]:
    """Return the arguments of ``generate``; greedy takes none of the sampling ones."""
    if options.temperature == 0:
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    return {
        "do_sample": True,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "top_k": 0,
    }
