import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Client, Response

from app.ai.llm.base import ChatEnd, ChatMessage
from app.ai.worker_pool import CancelledByCallerError
from app.application import create_app
from app.core.errors import ErrorCode, ServiceError
from app.services.speech_service import OPENAI_VOICES
from tests.conftest import KEY, Logs, MakeSettings
from tests.doubles import Doubles, FakeChatModel
from tests.helpers import PATIENCE, SPEECH, serving

QUESTION = [{"role": "user", "content": "들려요?"}]
TEXT = "여보세요, 제 말 들려요?"


def complete(client: TestClient, **fields: Any) -> Response:
    request = {"model": "default", "messages": QUESTION, **fields}
    return client.post("/v1/chat/completions", json=request)


def transcribe(client: TestClient, route: str = "transcriptions", **fields: Any) -> Response:
    files = {"file": ("question.wav", SPEECH.read_bytes())}
    return client.post(f"/v1/audio/{route}", files=files, data={"model": "whisper-1", **fields})


def speak(client: TestClient, **fields: Any) -> Response:
    return client.post(
        "/v1/audio/speech", json={"model": "tts-1", "input": "안녕하세요.", **fields}
    )


def events(response: Response) -> list[dict[str, Any]]:
    """Return the chunks of a stream, which must end as OpenAI's does."""
    *lines, end, rest = response.text.split("\n\n")
    assert (end, rest) == ("data: [DONE]", "")
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_models_are_listed_with_their_aliases(client: TestClient) -> None:
    # Given three engines, When listed, Then each is there under its own name and OpenAI's
    answer = client.get("/v1/models").json()
    names = {model["id"] for model in answer["data"]}
    assert answer["object"] == "list"
    assert {"double-stt", "double-llm", "double-tts", "whisper-1", "tts-1", "default"} <= names
    assert client.get("/v1/models/whisper-1").json()["object"] == "model"


def test_a_conversation_goes_on(client: TestClient, doubles: Doubles) -> None:
    # Given a conversation in every form that a turn can have, and every option
    messages = [
        {"role": "developer", "content": "짧게."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "제 말 "}, {"type": "text", "text": "들려요?"}],
        },
    ]
    options = {"max_completion_tokens": 5, "temperature": 0, "top_p": 0.5, "stop": "끝", "seed": 3}
    # When it is completed
    response = complete(client, messages=messages, **options, user="kim", n=1, tools=[])
    # Then the answer is in OpenAI's form
    answer = response.json()
    assert response.status_code == 200
    assert (answer["object"], answer["model"]) == ("chat.completion", "default")
    (choice,) = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": "네, 잘 들립니다."}
    assert choice["finish_reason"] == "stop"
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    assert answer["usage"] == usage
    # And the model had all of it
    ((turns, given),) = doubles.llm.calls
    assert turns == [ChatMessage("system", "짧게."), ChatMessage("user", "제 말 들려요?")]
    assert (given.max_tokens, given.temperature, given.top_p) == (5, 0, 0.5)
    assert (given.stop, given.seed) == (("끝",), 3)


@pytest.mark.parametrize("with_usage", [True, False])
def test_an_answer_can_be_streamed(client: TestClient, doubles: Doubles, with_usage: bool) -> None:
    # Given an answer that is cut
    doubles.llm.end = ChatEnd("length", 12, 3)
    # When it is streamed
    options = {"stream_options": {"include_usage": True}} if with_usage else {}
    response = complete(client, stream=True, stop=["끝"], **options)
    # Then the role comes first, the text in pieces, the reason last, and the usage if wanted
    assert response.headers["Content-Type"].startswith("text/event-stream")
    chunks = events(response)
    if with_usage:
        usage = chunks.pop()
        assert usage["choices"] == []
        assert usage["usage"]["total_tokens"] == 15
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert [delta["content"] for delta in deltas[1:-1]] == list(doubles.llm.pieces)
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert "usage" not in response.text or with_usage


def test_an_error_before_the_first_piece_has_its_status(
    client: TestClient, doubles: Doubles
) -> None:
    # Given a conversation that is too long, When streamed, Then the answer is an error, no stream
    doubles.llm.error = ServiceError(ErrorCode.CONTEXT_TOO_LONG, tokens=9, limit=8)
    response = complete(client, stream=True)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_too_long"


def test_a_client_that_hangs_up_stops_the_model(
    doubles: Doubles, make_settings: MakeSettings, logs: Logs
) -> None:
    # Given a model that never ends, and a real server
    class Endless(FakeChatModel):
        def chat(self, messages: Any, options: Any, emit: Any) -> ChatEnd:
            try:
                while True:
                    emit("more")
                    self.open.wait(0.01)
            except CancelledByCallerError:
                self.note("stopped")
                raise

    doubles.llm = Endless("double-llm")
    doubles.llm.open.clear()
    app = create_app(doubles.configuration(make_settings()), lambda: None)
    with serving(app) as address, Client(base_url=address, timeout=PATIENCE) as client:
        while client.get("/ready").status_code != 200:
            pass
        client.headers["Authorization"] = f"Bearer {KEY}"
        # When the client leaves in the middle of its answer
        request = {"model": "default", "messages": QUESTION, "stream": True}
        with client.stream("POST", "/v1/chat/completions", json=request) as response:
            assert next(response.iter_lines()).startswith("data: ")
        doubles.llm.open.set()
        # Then the model stops, so that the server can
    assert doubles.llm.calls == [("stopped",)]


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
    ],
)
def test_what_would_change_the_answer_is_refused(
    client: TestClient, fields: dict[str, Any], parameter: str
) -> None:
    # Given a parameter that no engine here has, When sent, Then it is named, not ignored
    error = complete(client, **fields).json()["error"]
    assert error["code"] == "unsupported"
    assert repr(parameter) in error["message"]


@pytest.mark.parametrize(
    ("route", "task"), [("transcriptions", "transcribe"), ("translations", "translate")]
)
def test_a_recording_becomes_text(
    client: TestClient, doubles: Doubles, route: str, task: str
) -> None:
    # Given a recording, words to expect, and a temperature
    response = transcribe(client, route, prompt="Kodex", temperature="0.5")
    # When it is transcribed or translated, Then the text is there, and the recogniser had it all
    assert response.json() == {"text": TEXT}
    ((_, options),) = doubles.stt.calls
    assert (options.task, options.prompt, options.temperature) == (task, "Kodex", 0.5)


@pytest.mark.parametrize(
    ("form", "begins", "media"),
    [
        ("text", f"{TEXT}\n", "text/plain"),
        ("srt", "1\n00:00:00,000 --> 00:00:00,800\n여보세요,\n\n2\n", "text/plain"),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:00.800\n여보세요,\n\n", "text/vtt"),
    ],
)
def test_text_has_the_form_that_was_asked_for(
    client: TestClient, form: str, begins: str, media: str
) -> None:
    # Given a form, When transcribed, Then the text is in it
    response = transcribe(client, response_format=form)
    assert response.text.startswith(begins)
    assert response.headers["Content-Type"].startswith(media)


@pytest.mark.parametrize(
    ("wanted", "segments", "words"),
    [([], True, False), (["word"], False, True), (["word", "segment"], True, True)],
)
def test_times_come_as_wanted(
    client: TestClient, doubles: Doubles, wanted: list[str], segments: bool, words: bool
) -> None:
    # Given wishes for times
    fields = {"response_format": "verbose_json", "timestamp_granularities[]": wanted}
    # When transcribed
    answer = transcribe(client, **fields, language="ko").json()
    # Then they are there, and no others
    assert (answer["task"], answer["language"], answer["text"]) == ("transcribe", "ko", TEXT)
    assert answer["duration"] == pytest.approx(1.57, abs=0.01)
    assert doubles.stt.calls[0][1].word_timestamps == words
    assert ("segments" in answer, "words" in answer) == (segments, words)
    if segments:
        assert [segment["id"] for segment in answer["segments"]] == [0, 1]
        assert answer["segments"][0]["tokens"] == [1, 2]
    if words:
        assert answer["words"][1] == {"word": "들려요?", "start": 0.9, "end": 1.4}


@pytest.mark.parametrize(
    ("form", "media", "magic"),
    [
        ("mp3", "audio/mpeg", b"ID3"),
        ("opus", "audio/ogg", b"OggS"),
        ("aac", "audio/aac", b"\xff\xf1"),
        ("flac", "audio/flac", b"fLaC"),
        ("wav", "audio/wav", b"RIFF"),
        ("pcm", "audio/pcm", b""),
    ],
)
def test_a_text_becomes_sound(client: TestClient, form: str, media: str, magic: bytes) -> None:
    # Given a format, When spoken, Then the sound is in it
    response = speak(client, response_format=form, voice=sorted(OPENAI_VOICES)[0])
    assert (response.status_code, response.headers["Content-Type"]) == (200, media)
    assert response.content.startswith(magic)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"model": "gpt-4"}, 404, "model_not_found"),
        ({"input": "🙂"}, 400, "text_empty"),
        ({"input": "가" * 5000}, 400, "text_too_long"),
        ({"voice": "nobody"}, 400, "voice_not_found"),
        ({"speed": 9}, 400, "invalid_request"),
        ({"response_format": "midi"}, 400, "invalid_request"),
    ],
)
def test_what_cannot_be_spoken_is_refused_in_openais_form(
    client: TestClient, fields: dict[str, Any], status: int, code: str
) -> None:
    # Given a request that will not do, When sent, Then OpenAI's clients can read why
    response = speak(client, **fields)
    assert response.status_code == status
    error = response.json()["error"]
    assert (error["code"], error["type"], error["param"]) == (code, "invalid_request_error", None)
    assert error["message"]


@pytest.mark.parametrize("path", ["/v1/models/gpt-4", "/v1/models/my/own"])
def test_an_unknown_model_is_told_with_those_there_are(client: TestClient, path: str) -> None:
    # Given a model that is not here, When asked for, Then the message has those that are
    response = client.get(path)
    assert response.status_code == 404
    assert "double-llm" in response.json()["error"]["message"]


def test_a_stream_that_breaks_says_so(client: TestClient, doubles: Doubles) -> None:
    # Given a model that fails when a part of the answer is out
    def broken() -> Iterator[str]:
        yield "네, "
        raise ValueError("a secret of the model")

    doubles.llm.pieces = broken()  # type: ignore[assignment]
    # When an answer is streamed
    response = complete(client, stream=True)
    # Then its last event is an error in OpenAI's form, without the model's own words
    *_, last = response.text.strip().split("\n\n")
    assert '"code":"engine_failed"' in last
    assert "[DONE]" not in response.text
    assert "secret" not in response.text
