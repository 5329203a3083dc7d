from pathlib import Path

import pytest

from app.ai.stt.base import TranscribeOptions
from app.core.errors import ErrorCode, ServiceError
from app.services.chat_service import FALLBACK
from app.services.voice_service import SpokenAnswer
from tests.conftest import Logs, MakeServices
from tests.doubles import Doubles
from tests.helpers import Upload, tone, wav

pytestmark = pytest.mark.anyio
STEPS = ["stt", "llm", "tts", "total"]


async def ask(services: MakeServices, *, slow: bool = False, **changes: object) -> SpokenAnswer:
    voice = services(**changes).voice
    return await voice.ask(Upload(wav(tone())), TranscribeOptions(), slow=slow)


@pytest.mark.parametrize(("slow", "speed"), [(False, 1.0), (True, 0.7)])
async def test_a_spoken_question_has_a_spoken_answer(
    services: MakeServices, doubles: Doubles, logs: Logs, static_dir: Path, slow: bool, speed: float
) -> None:
    # Given engines that work
    # When a question is asked
    spoken = await ask(services, slow=slow, tts_slow_speed=0.7)
    # Then the transcript is the question, and the answer is a file as well
    assert spoken.query == doubles.llm.calls[0][0][-1].content == "여보세요, 제 말 들려요?"
    assert spoken.answer == "네, 잘 들립니다."
    assert spoken.tts_url is not None
    assert (static_dir.parent / spoken.tts_url[1:]).read_bytes().startswith(b"RIFF")
    assert doubles.tts.calls[0][1].speed == speed
    # And the seconds of each step are told and logged
    assert list(spoken.seconds) == STEPS
    (line,) = logs()
    assert line["event"] == "voice_request"
    assert line["error_code"] is None
    assert {f"{step}_seconds" for step in STEPS} <= line.keys()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ServiceError(ErrorCode.QUEUE_FULL, seconds=1), "QUEUE_FULL"),
        (RuntimeError("no sound"), "ENGINE_FAILED"),
    ],
)
async def test_a_voice_that_is_down_leaves_the_text(
    services: MakeServices, doubles: Doubles, logs: Logs, error: Exception, code: str
) -> None:
    # Given a voice that fails
    doubles.tts.error = error
    # When a question is asked
    spoken = await ask(services)
    # Then the answer comes as text alone, and the log says why
    assert (spoken.answer, spoken.tts_url) == ("네, 잘 들립니다.", None)
    codes = [(line["event"], line["error_code"]) for line in logs()]
    assert codes == [("tts_failed", code), ("voice_request", code)]


async def test_a_model_that_is_down_is_excused_aloud(
    services: MakeServices, doubles: Doubles
) -> None:
    # Given a language model that fails
    doubles.llm.error = RuntimeError("no memory")
    # When a question is asked
    spoken = await ask(services, message_language="ko")
    # Then the fallback is spoken
    assert spoken.answer == FALLBACK["ko"]
    assert spoken.tts_url
    assert doubles.tts.calls


async def test_silence_is_told_before_anything_else_is_done(
    services: MakeServices, doubles: Doubles, logs: Logs
) -> None:
    # Given a recording in which nobody speaks
    doubles.stt.segments = ()
    with pytest.raises(ServiceError) as refused:
        await ask(services)
    # When it comes, Then that is the answer, and no model was asked
    assert refused.value.code is ErrorCode.NO_SPEECH
    assert doubles.llm.calls == []
    (line,) = logs()
    assert (line["event"], line["error_code"]) == ("voice_request", "NO_SPEECH")


async def test_an_answer_is_spoken_as_far_as_allowed(
    services: MakeServices, doubles: Doubles
) -> None:
    # Given an answer longer than may be spoken
    doubles.llm.pieces = ("말" * 50,)
    # When it comes, Then the text is whole, and the sound is its beginning
    spoken = await ask(services, tts_max_characters=20)
    assert len(spoken.answer) == 50
    assert [text for text, _ in doubles.tts.calls] == ["말" * 20]
