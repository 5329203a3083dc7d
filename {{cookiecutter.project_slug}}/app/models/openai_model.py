"""Requests and responses in OpenAI's form, as far as this service fulfils them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

LONGEST_MESSAGE = 32_000
AudioFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
Role = Literal["system", "user", "assistant"]
TranscriptFormat = Literal["json", "text", "srt", "vtt", "verbose_json"]


class Model(BaseModel):
    """A model of this service."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(BaseModel):
    """Every model of this service."""

    object: Literal["list"] = "list"
    data: list[Model]


class TextTranscription(BaseModel):
    """The ``json`` form of a transcript."""

    text: str


class TranscriptionWord(BaseModel):
    """A word with its times in seconds."""

    word: str
    start: float
    end: float


class TranscriptionSegment(BaseModel):
    """A segment with its times in seconds."""

    id: int
    seek: int = 0
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class VerboseTranscription(BaseModel):
    """The ``verbose_json`` form of a transcript."""

    task: Literal["transcribe", "translate"]
    language: str
    duration: float
    text: str
    segments: list[TranscriptionSegment] | None = None
    words: list[TranscriptionWord] | None = None


class SpeechRequest(BaseModel):
    """A text to speak."""

    model: str
    input: Annotated[str, Field(min_length=1)]
    voice: str | None = None
    response_format: AudioFormat = "mp3"
    speed: Annotated[float, Field(ge=0.25, le=4)] = 1.0


class TextPart(BaseModel):
    """A piece of a message; text is the only kind here."""

    type: Literal["text"]
    text: Annotated[str, Field(max_length=LONGEST_MESSAGE)]


class Message(BaseModel):
    """A turn of a conversation."""

    role: Role | Literal["developer"]
    content: Annotated[str, Field(max_length=LONGEST_MESSAGE)] | list[TextPart]

    @property
    def text(self) -> str:
        """The whole text."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    """What a stream carries beside the text."""

    include_usage: bool = False


class ChatCompletionRequest(BaseModel):
    """A conversation to go on with.

    Parameters that would change the answer and that no engine here has are kept in
    ``model_extra``, so that they can be refused instead of ignored.
    """

    model_config = ConfigDict(extra="allow")

    model: str
    messages: Annotated[list[Message], Field(min_length=1, max_length=200)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None


class Usage(BaseModel):
    """Tokens of a conversation."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(BaseModel):
    """The model's turn."""

    role: Literal["assistant"] = "assistant"
    content: str


class Choice(BaseModel):
    """An answer; there is one."""

    index: Literal[0] = 0
    message: AnswerMessage
    finish_reason: Literal["stop", "length"]


class ChatCompletion(BaseModel):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class Delta(BaseModel):
    """New text of an answer."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(BaseModel):
    """A piece of the answer."""

    index: Literal[0] = 0
    delta: Delta
    finish_reason: Literal["stop", "length"] | None = None


class ChatCompletionChunk(BaseModel):
    """A piece of a streamed answer."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
