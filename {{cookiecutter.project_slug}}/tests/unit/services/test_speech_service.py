import pytest

from app.core.errors import ErrorCode, ServiceError
from app.services.speech_service import PAUSE_SECONDS
from tests.conftest import MakeServices
from tests.doubles import SPEECH_RATE, Doubles

pytestmark = pytest.mark.anyio
LONG = "이것은 백 글자가 넘도록 길게 쓴 문장으로, " + "말 " * 80 + "끝입니다."


async def test_a_long_text_is_spoken_in_pieces(services: MakeServices, doubles: Doubles) -> None:
    # Given a text of two long sentences
    # When it is spoken
    sound = await services().speech.speak(f"{LONG} {LONG}")
    # Then a worker had a piece at a time, and there is a breath between two of them
    texts = [text for text, _ in doubles.tts.calls]
    assert len(texts) == 2
    assert all(len(text) <= 200 for text in texts)
    assert sound.sample_rate == SPEECH_RATE
    assert sound.seconds == pytest.approx(2 * 0.1 + PAUSE_SECONDS)


@pytest.mark.parametrize(
    ("known", "asked", "used"),
    [
        (("F1", "M1"), None, "F1"),
        (("F1", "M1"), "M1", "M1"),
        (("F1", "M1"), "alloy", "F1"),
        (("F1", "alloy"), "alloy", "alloy"),
        ((), "alloy", "alloy"),
        ((), "anything", "anything"),
    ],
)
async def test_the_voice_is_the_callers_or_the_settings(
    services: MakeServices, doubles: Doubles, known: tuple[str, ...], asked: str | None, used: str
) -> None:
    # Given an engine with these voices (none: only its server knows)
    doubles.tts.voices = known
    # When a voice is asked for
    await services().speech.speak("안녕하세요.", asked, speed=1.5)
    # Then it is used, with the text's language
    ((_, options),) = doubles.tts.calls
    assert (options.voice, options.speed, options.language) == (used, 1.5, "ko")


@pytest.mark.parametrize(
    ("text", "voice", "code"),
    [
        ("🙂 ...", None, ErrorCode.TEXT_EMPTY),
        ("글" * 31, None, ErrorCode.TEXT_TOO_LONG),
        ("안녕", "nobody", ErrorCode.VOICE_NOT_FOUND),
    ],
)
async def test_what_cannot_be_spoken_is_refused(
    services: MakeServices, doubles: Doubles, text: str, voice: str | None, code: ErrorCode
) -> None:
    # Given a text or a voice that will not do
    with pytest.raises(ServiceError) as refused:
        await services(tts_max_characters=30).speech.speak(text, voice)
    # When spoken, Then the engine was not troubled
    assert refused.value.code is code
    assert doubles.tts.calls == []


async def test_a_file_has_the_form_that_was_asked_for(services: MakeServices) -> None:
    # Given a text, When a file of it is wanted, Then it is one
    assert (await services().speech.speak_file("Hello.", "flac")).startswith(b"fLaC")
