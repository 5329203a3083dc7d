import unicodedata

import pytest

from app.ai.llm.base import ChatEnd, ChatMessage
from app.core.errors import ErrorCode, ServiceError
from app.services.chat_service import CALLERS_ERRORS, FALLBACK
from tests.conftest import Logs, MakeServices
from tests.doubles import Doubles

pytestmark = pytest.mark.anyio


async def test_a_question_becomes_a_conversation(services: MakeServices, doubles: Doubles) -> None:
    # Given a question in separate jamo, and what was said before
    chat = services(system_prompt="짧게 답하세요.", llm_temperature=0.5).chat
    history = [ChatMessage("user", "안녕?"), ChatMessage("assistant", "네!")]
    # When it is asked
    answer = await chat.answer(unicodedata.normalize("NFD", " 몇 시예요? "), history)
    # Then the model has the system's turn, the history and the question, composed
    ((messages, options),) = doubles.llm.calls
    question = ChatMessage("user", "몇 시예요?")
    assert messages == [ChatMessage("system", "짧게 답하세요."), *history, question]
    assert (options.max_tokens, options.temperature) == (256, 0.5)
    assert answer == "네, 잘 들립니다."


async def test_the_callers_wishes_have_limits(services: MakeServices) -> None:
    # Given a limit of tokens
    chat = services(llm_max_tokens=10, llm_max_tokens_limit=20).chat
    # When options are asked for
    # Then wishes count up to the limit, the settings count without them, and 0 is a wish
    assert chat.options().max_tokens == 10
    assert chat.options(max_tokens=50).max_tokens == 20
    assert chat.options(temperature=0.0, top_p=0.5, stop=("x",), seed=1).temperature == 0
    assert chat.options().top_p == 1


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize(
    "error", [RuntimeError("out of memory"), ServiceError(ErrorCode.ENGINE_FAILED, task="LLM")]
)
async def test_a_model_that_is_down_gives_the_fallback(
    services: MakeServices, doubles: Doubles, logs: Logs, language: str, error: Exception
) -> None:
    # Given a model that fails
    doubles.llm.error = error
    # When it is asked
    answer = await services(message_language=language).chat.answer("몇 시예요?")
    # Then the answer is a sentence in the settings' language, and the log has the reason
    assert answer == FALLBACK[language]
    (line,) = logs()
    assert (line["event"], line["error_code"]) == ("llm_failed", "ENGINE_FAILED")
    assert type(error).__name__ in line["exception"]


async def test_an_empty_answer_is_none(services: MakeServices, doubles: Doubles) -> None:
    # Given a model that says nothing, When asked, Then the fallback says it
    doubles.llm.pieces = (" ", "\n")
    assert await services().chat.answer("?") == FALLBACK["en"]


@pytest.mark.parametrize("code", sorted(CALLERS_ERRORS, key=lambda code: code.name))
async def test_what_the_caller_can_change_is_told(
    services: MakeServices, doubles: Doubles, code: ErrorCode
) -> None:
    # Given an error that a fallback would hide
    doubles.llm.error = ServiceError(code)
    with pytest.raises(ServiceError) as told:
        await services().chat.answer("?")
    # When asked, Then it passes
    assert told.value.code is code


async def test_an_answer_comes_with_how_it_ended(services: MakeServices, doubles: Doubles) -> None:
    # Given an answer that is cut
    chat = services().chat
    doubles.llm.end = ChatEnd("length", 5, 2)
    # When it is wanted whole, Then its end comes with it
    completion = await chat.complete([ChatMessage("user", "?")], chat.options())
    assert (completion.text, completion.end) == ("네, 잘 들립니다.", doubles.llm.end)
