import re

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from tests.conftest import StartApp
from tests.doubles import Doubles
from tests.helpers import SPEECH, tone, wav


def ask(client: TestClient, content: bytes | None = None, **fields: str) -> Response:
    recording = SPEECH.read_bytes() if content is None else content
    files = {"file": ("../../이름.wav", recording, "text/html")}
    return client.post("/api/voice-chat", files=files, data=fields)


@pytest.mark.parametrize(("slow", "speed"), [("false", 1.0), ("true", 0.8)])
def test_a_recording_is_answered_aloud(
    client: TestClient, doubles: Doubles, slow: str, speed: float
) -> None:
    # Given a recording, under a name that is a path, and of a type that is not its own
    response = ask(client, slow=slow, language="ko")
    # When it is asked
    answer = response.json()
    # Then question and answer come as text, and the answer as a file that can be fetched
    assert response.status_code == 200
    assert list(answer) == ["query", "answer", "sources", "tts_url"]
    assert (answer["query"], answer["answer"]) == ("여보세요, 제 말 들려요?", "네, 잘 들립니다.")
    assert client.get(answer["tts_url"]).content.startswith(b"RIFF")
    # And the engines had the wishes
    assert doubles.stt.calls[0][1].language == "ko"
    assert doubles.tts.calls[0][1].speed == speed
    # And the steps' milliseconds are in the header
    timing = response.headers["Server-Timing"]
    assert re.fullmatch(r"stt;dur=\d+, llm;dur=\d+, tts;dur=\d+, total;dur=\d+", timing)


def test_a_voice_that_is_down_leaves_the_text(client: TestClient, doubles: Doubles) -> None:
    # Given a voice that fails, When asked, Then the text comes alone
    doubles.tts.error = RuntimeError("no sound")
    response = ask(client)
    assert (response.status_code, response.json()["tts_url"]) == (200, None)


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "AUDIO_EMPTY"),
        (b"<!doctype html>", 415, "AUDIO_TYPE"),
        (b"OggS" + bytes(60), 400, "AUDIO_UNREADABLE"),
        (wav(tone(3)), 413, "AUDIO_TOO_LONG"),
    ],
)
def test_what_is_no_recording_for_us_is_refused(
    start_app: StartApp, content: bytes, status: int, code: str
) -> None:
    # Given a file that will not do, When sent, Then a Korean sentence says so
    response = ask(start_app(audio_max_seconds=2, message_language="ko"), content)
    assert (response.status_code, response.json()["error_code"]) == (status, code)
    assert any("가" <= c <= "힣" for c in response.json()["message"])


def test_silence_is_told(client: TestClient, doubles: Doubles) -> None:
    # Given a recording in which nobody speaks, When sent, Then it is asked for once more
    doubles.stt.segments = ()
    response = ask(client)
    assert (response.status_code, response.json()["error_code"]) == (422, "NO_SPEECH")


@pytest.mark.parametrize("fields", [{"language": "ko" * 9}, {"slow": "perhaps"}])
def test_a_wrong_field_is_told(client: TestClient, fields: dict[str, str]) -> None:
    # Given a field that is not valid, When sent, Then it is named
    response = ask(client, **fields)
    assert response.status_code == 400
    assert next(iter(fields)) in response.json()["detail"]


@pytest.mark.parametrize("language", ["xx", "Korean", "한국어"])
def test_a_language_that_there_is_not_is_told(client: TestClient, language: str) -> None:
    # Given a language that the recogniser does not know, When sent, Then the caller hears of it
    response = ask(client, language=language)
    assert (response.status_code, response.json()["error_code"]) == (400, "LANGUAGE_NOT_FOUND")


def test_auto_lets_the_model_find_the_language(client: TestClient, doubles: Doubles) -> None:
    # Given the language "auto", When sent, Then the recogniser is told no language
    assert ask(client, language="auto").status_code == 200
    assert doubles.stt.calls[-1][1].language is None
