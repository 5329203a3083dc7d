"""The errors that a caller may see: a code, an HTTP status and a sentence in two languages."""

from enum import Enum


class ErrorCode(Enum):
    """Error codes with HTTP status, and the sentence in English and Korean.

    Braces are filled from the keywords of `ServiceError`.
    """

    AUDIO_EMPTY = (400, "The file is empty.", "파일이 비어 있습니다.")
    AUDIO_UNREADABLE = (
        400,
        "The recording cannot be decoded. Send a complete {formats} file.",
        "녹음 파일을 해석할 수 없습니다. 온전한 {formats} 파일을 보내 주세요.",
    )
    AUDIO_HAS_VIDEO = (
        415,
        "The file holds video. Send the sound alone.",
        "영상이 들어 있는 파일입니다. 소리만 보내 주세요.",
    )
    AUDIO_TYPE = (
        415,
        "The content is no recording that we know. Send {formats}.",
        "지원하는 녹음 형식이 아닙니다. {formats} 중 하나로 보내 주세요.",
    )
    AUDIO_TOO_LONG = (
        413,
        "The recording is longer than {limit:g} seconds.",
        "녹음이 {limit:g}초보다 깁니다.",
    )
    BODY_TOO_LARGE = (
        413,
        "The request is larger than {limit} bytes.",
        "요청 크기가 {limit}바이트를 넘습니다.",
    )
    CONTEXT_TOO_LONG = (
        400,
        "The conversation has {tokens} tokens and leaves no room within {limit}. Shorten it.",
        "대화가 {tokens}토큰으로, 한도 {limit}토큰을 넘습니다. 줄여서 보내 주세요.",
    )
    ENGINE_FAILED = (
        503,
        "The {task} engine cannot answer now. Please try again.",
        "{task} 엔진이 지금 응답하지 못합니다. 잠시 후 다시 시도해 주세요.",
    )
    INTERNAL = (
        500,
        "Something went wrong on our side. Give the request id when you report it.",
        "서버 내부에서 문제가 생겼습니다. 문의할 때 요청 번호를 알려 주세요.",
    )
    INVALID_REQUEST = (400, "The request is not valid.", "요청 형식이 올바르지 않습니다.")
    LANGUAGE_NOT_FOUND = (
        400,
        "There is no language {language!r}. Send an ISO 639-1 code such as ko or en, or auto.",
        "{language!r} 언어가 없습니다. ko, en 같은 ISO 639-1 코드나 auto를 보내 주세요.",
    )
    METHOD_NOT_ALLOWED = (
        405,
        "This address does not take that method.",
        "이 주소에서는 쓸 수 없는 메서드입니다.",
    )
    MODEL_NOT_FOUND = (
        404,
        "There is no model {model!r} for this. Models: {known}.",
        "{model!r} 모델이 없습니다. 쓸 수 있는 모델: {known}.",
    )
    NOT_FOUND = (404, "There is nothing at this address.", "이 주소에는 아무것도 없습니다.")
    NOT_READY = (
        503,
        "The models are still loading. Please try again.",
        "모델을 불러오는 중입니다. 잠시 후 다시 시도해 주세요.",
    )
    NO_SPEECH = (
        422,
        "No speech was recognised. Please speak once more.",
        "음성을 인식하지 못했습니다. 다시 한번 말씀해 주세요.",
    )
    QUEUE_FULL = (
        429,
        "Too many requests are waiting. Please try again in {seconds} seconds.",
        "대기 중인 요청이 너무 많습니다. {seconds}초 뒤에 다시 시도해 주세요.",
    )
    TEXT_EMPTY = (400, "There is nothing to speak in the text.", "읽을 내용이 없습니다.")
    TEXT_TOO_LONG = (
        400,
        "The text is longer than {limit} characters.",
        "글이 {limit}자보다 깁니다.",
    )
    UNAUTHORIZED = (
        401,
        "The API key is missing or wrong. Send it as 'Authorization: Bearer KEY'.",
        "API 키가 없거나 올바르지 않습니다. 'Authorization: Bearer 키'로 보내 주세요.",
    )
    UNSUPPORTED = (
        400,
        "The parameter {parameter!r} is not supported here.",
        "{parameter!r} 매개변수는 지원하지 않습니다.",
    )
    VOICE_NOT_FOUND = (
        400,
        "There is no voice {voice!r}. Voices: {known}.",
        "{voice!r} 음성이 없습니다. 쓸 수 있는 음성: {known}.",
    )

    def __init__(self, status: int, english: str, korean: str) -> None:
        self.status = status
        self.sentences = {"en": english, "ko": korean}


class ServiceError(Exception):
    """An error that is told to the caller.

    Args:
        code: what went wrong; gives the status and the sentence.
        detail: technical words for a developer, never a secret or a stack trace.
        retry_after: seconds for the ``Retry-After`` header.
        **values: what the sentence's braces stand for.
    """

    def __init__(
        self,
        code: ErrorCode,
        *,
        detail: str | None = None,
        retry_after: int | None = None,
        **values: object,
    ) -> None:
        super().__init__(code.name, detail)
        self.code = code
        self.detail = detail
        self.retry_after = retry_after
        self._values = values

    def message(self, language: str) -> str:
        """Return the sentence in ``ko`` or ``en``."""
        return self.code.sentences[language].format(**self._values)
