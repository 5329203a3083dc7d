"""OpenAI's API: its official clients work here unchanged."""

import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, File, Form, Response, UploadFile
from fastapi.responses import PlainTextResponse, StreamingResponse

from app.ai.audio import MEDIA_TYPES
from app.ai.llm.base import ChatEnd, ChatMessage
from app.ai.stt.base import TranscribeOptions, Transcript
from app.core import metrics
from app.core.errors import ErrorCode, ServiceError
from app.core.exception_handlers import openai_error
from app.core.logger import get_logger
from app.models.openai_model import (
    AnswerMessage,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    Choice,
    ChunkChoice,
    Delta,
    Model,
    ModelList,
    SpeechRequest,
    TextTranscription,
    TranscriptFormat,
    TranscriptionSegment,
    TranscriptionWord,
    Usage,
    VerboseTranscription,
)
from app.routers.dependencies import OPENAI_ERRORS, ServicesDependency, authenticated
from app.services.container import Services
from app.utils.subtitles import to_srt, to_vtt

log = get_logger(__name__)
STARTED = int(time.time())
# Names that OpenAI's own models have, for clients that have them built in.
ALIASES = {
    "stt": ("whisper-1",),
    "tts": ("tts-1", "tts-1-hd", "gpt-4o-mini-tts"),
    "llm": ("default",),
}
# Parameters that change the answer; the harmless rest (user, metadata, store ...) is ignored.
REFUSED = (
    "n",
    "tools",
    "tool_choice",
    "functions",
    "logprobs",
    "response_format",
    "audio",
    "logit_bias",
    "frequency_penalty",
    "presence_penalty",
)
HARMLESS = {
    "n": (None, 1),
    "tool_choice": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
}

Granularity = Literal["word", "segment"]
Task = Literal["stt", "llm", "tts"]
router = APIRouter(
    prefix="/v1", tags=["openai"], dependencies=[authenticated], responses=OPENAI_ERRORS
)


@router.get("/models")
async def list_models(services: ServicesDependency) -> ModelList:
    """List the models of this service, and the names by which OpenAI's clients may call them."""
    return ModelList(
        data=[_model(name, services) for task in ALIASES for name in _names(services, task)]
    )


@router.get("/models/{model:path}")
async def get_model(model: str, services: ServicesDependency) -> Model:
    """Describe one model."""
    known = [name for task in ALIASES for name in _names(services, task)]
    if model not in known:
        raise ServiceError(ErrorCode.MODEL_NOT_FOUND, model=model, known=", ".join(known))
    return _model(model, services)


@router.post(
    "/audio/transcriptions",
    response_model=TextTranscription | VerboseTranscription,
    response_model_exclude_none=True,
)
async def transcribe(
    services: ServicesDependency,
    file: Annotated[UploadFile, File()],
    model: Annotated[str, Form()],
    language: Annotated[str | None, Form(max_length=8)] = None,
    prompt: Annotated[str | None, Form(max_length=2000)] = None,
    response_format: Annotated[TranscriptFormat, Form()] = "json",
    temperature: Annotated[float | None, Form(ge=0, le=1)] = None,
    granularities: Annotated[
        list[Granularity] | None, Form(alias="timestamp_granularities[]")
    ] = None,
) -> TextTranscription | VerboseTranscription | Response:
    """Transcribe a recording in the language spoken."""
    _check_model(services, "stt", model)
    wanted: set[Granularity] = set(granularities or ("segment",))
    options = TranscribeOptions(
        language=language,
        prompt=prompt,
        temperature=temperature or None,
        word_timestamps="word" in wanted,
    )
    transcript = await services.transcription.transcribe(file, options)
    return _formatted(transcript, response_format, "transcribe", wanted)


@router.post(
    "/audio/translations",
    response_model=TextTranscription | VerboseTranscription,
    response_model_exclude_none=True,
)
async def translate(
    services: ServicesDependency,
    file: Annotated[UploadFile, File()],
    model: Annotated[str, Form()],
    prompt: Annotated[str | None, Form(max_length=2000)] = None,
    response_format: Annotated[TranscriptFormat, Form()] = "json",
    temperature: Annotated[float | None, Form(ge=0, le=1)] = None,
) -> TextTranscription | VerboseTranscription | Response:
    """Transcribe a recording into English."""
    _check_model(services, "stt", model)
    options = TranscribeOptions(task="translate", prompt=prompt, temperature=temperature or None)
    transcript = await services.transcription.transcribe(file, options)
    return _formatted(transcript, response_format, "translate", {"segment"})


@router.post("/audio/speech", response_class=Response)
async def speak(request: SpeechRequest, services: ServicesDependency) -> Response:
    """Speak a text."""
    _check_model(services, "tts", request.model)
    form = request.response_format
    sound = await services.speech.speak_file(request.input, form, request.voice, request.speed)
    return Response(sound, media_type=MEDIA_TYPES[form])


@router.post("/chat/completions", response_model=ChatCompletion)
async def complete_chat(
    request: ChatCompletionRequest, services: ServicesDependency
) -> ChatCompletion | StreamingResponse:
    """Go on with a conversation; with ``stream`` as server-sent events."""
    _check_model(services, "llm", request.model)
    _refuse_unsupported(request)
    messages = [
        ChatMessage("system" if m.role == "developer" else m.role, m.text) for m in request.messages
    ]
    options = services.chat.options(
        request.max_completion_tokens or request.max_tokens,
        request.temperature,
        request.top_p,
        (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ()),
        request.seed,
    )
    answer_id, created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())
    if request.stream:
        pieces = services.chat.stream(messages, options)
        first = await anext(pieces)  # an error before the first token still gets its status
        head = ChatCompletionChunk(id=answer_id, created=created, model=request.model, choices=[])
        language = services.settings.message_language
        events = _events(head, first, pieces, language, with_usage=_wants_usage(request))
        return StreamingResponse(events, media_type="text/event-stream")
    completion = await services.chat.complete(messages, options)
    return ChatCompletion(
        id=answer_id,
        created=created,
        model=request.model,
        choices=[
            Choice(
                message=AnswerMessage(content=completion.text),
                finish_reason=completion.end.finish_reason,
            )
        ],
        usage=_usage(completion.end),
    )


async def _events(
    head: ChatCompletionChunk,
    first: str | ChatEnd,
    rest: AsyncGenerator[str | ChatEnd],
    language: str,
    *,
    with_usage: bool,
) -> AsyncIterator[bytes]:
    """Yield the answer as server-sent events, as OpenAI's clients expect them."""

    def event(delta: Delta, reason: Literal["stop", "length"] | None = None) -> bytes:
        choice = ChunkChoice(delta=delta, finish_reason=reason)
        return _event(head.model_copy(update={"choices": [choice]}))

    yield event(Delta(role="assistant", content=""))
    piece: str | ChatEnd | None = first
    try:
        while piece is not None:
            if isinstance(piece, ChatEnd):
                yield event(Delta(), piece.finish_reason)
                if with_usage:
                    yield _event(head.model_copy(update={"usage": _usage(piece)}))
            else:
                yield event(Delta(content=piece))
            piece = await anext(rest, None)
    except Exception:
        # The status has been sent; OpenAI's clients raise what such an event tells them.
        log.exception("stream_failed", error_code=ErrorCode.ENGINE_FAILED.name)
        metrics.ERRORS.labels(ErrorCode.ENGINE_FAILED.name).inc()
        failed = ServiceError(ErrorCode.ENGINE_FAILED, task="LLM")
        yield b"data: " + openai_error(failed, language).model_dump_json().encode() + b"\n\n"
        return
    finally:
        await rest.aclose()
    yield b"data: [DONE]\n\n"


def _event(chunk: ChatCompletionChunk) -> bytes:
    return b"data: " + chunk.model_dump_json(exclude_none=True).encode() + b"\n\n"


def _wants_usage(request: ChatCompletionRequest) -> bool:
    return request.stream_options is not None and request.stream_options.include_usage


def _usage(end: ChatEnd) -> Usage:
    return Usage(
        prompt_tokens=end.prompt_tokens,
        completion_tokens=end.completion_tokens,
        total_tokens=end.prompt_tokens + end.completion_tokens,
    )


def _formatted(
    transcript: Transcript,
    form: TranscriptFormat,
    task: Literal["transcribe", "translate"],
    wanted: set[Granularity],
) -> TextTranscription | VerboseTranscription | Response:
    """Return a transcript in the form that was asked for."""
    if form == "json":
        return TextTranscription(text=transcript.text)
    if form == "text":
        return PlainTextResponse(transcript.text + "\n")
    if form == "srt":
        return PlainTextResponse(to_srt(transcript.segments))
    if form == "vtt":
        return PlainTextResponse(to_vtt(transcript.segments), media_type="text/vtt")
    return _verbose(transcript, task, wanted)


def _verbose(
    transcript: Transcript,
    task: Literal["transcribe", "translate"],
    wanted: set[Granularity],
) -> VerboseTranscription:
    segments = [
        TranscriptionSegment(
            id=number,
            start=segment.start,
            end=segment.end,
            text=segment.text,
            tokens=list(segment.tokens),
            temperature=segment.temperature,
            avg_logprob=segment.avg_logprob,
            compression_ratio=segment.compression_ratio,
            no_speech_prob=segment.no_speech_prob,
        )
        for number, segment in enumerate(transcript.segments)
    ]
    words = [
        TranscriptionWord(word=word.text.strip(), start=word.start, end=word.end)
        for segment in transcript.segments
        for word in segment.words
    ]
    return VerboseTranscription(
        task=task,
        language=transcript.language,
        duration=transcript.seconds,
        text=transcript.text,
        segments=segments if "segment" in wanted else None,
        words=words if "word" in wanted else None,
    )


def _names(services: Services, task: str) -> tuple[str, ...]:
    """Return a task's model under all its names."""
    own = services.engines.model_name(task)
    return (own, *(alias for alias in ALIASES[task] if alias != own))


def _model(name: str, services: Services) -> Model:
    return Model(id=name, created=STARTED, owned_by=services.settings.service_name)


def _check_model(services: Services, task: Task, name: str) -> None:
    known = _names(services, task)
    if name not in known:
        raise ServiceError(ErrorCode.MODEL_NOT_FOUND, model=name, known=", ".join(known))


def _refuse_unsupported(request: ChatCompletionRequest) -> None:
    for name in REFUSED:
        value = (request.model_extra or {}).get(name)
        if value not in HARMLESS.get(name, (None, False, [], {})):
            raise ServiceError(ErrorCode.UNSUPPORTED, parameter=name)
