from string import Formatter

import pytest

from app.core.errors import ErrorCode, ServiceError


def fields(sentence: str) -> set[str | None]:
    return {name for _, name, _, _ in Formatter().parse(sentence)} - {None}


@pytest.mark.parametrize("code", ErrorCode)
def test_every_error_is_a_sentence_in_both_languages(code: ErrorCode) -> None:
    # Given a code and a value for every brace of its sentences
    values = dict.fromkeys(map(str, fields(code.sentences["en"])), 7)
    error = ServiceError(code, detail="technical", **values)
    # When it is told
    messages = [error.message(language) for language in ("en", "ko")]
    # Then both say the same values, in a sentence of that language
    assert fields(code.sentences["en"]) == fields(code.sentences["ko"])
    assert all(message.endswith(".") and "{" not in message for message in messages)
    assert messages[0].isascii()
    assert any("가" <= c <= "힣" for c in messages[1])
    assert 400 <= code.status < 600
