"""OpenAI's official client, unchanged, against every route under ``/v1``."""

from __future__ import annotations

import io
import subprocess
import wave
from typing import Any

import openai
import pytest

from tests.conftest import ROOT
from tests.service.conftest import client
from tools.service_process import Service

QUESTION = ROOT / "tests" / "data" / "question.wav"
HELLO: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]


def test_models(either: Service) -> None:
    # Given the client
    openai_client = client(either)
    # When it lists the models and looks one up
    names = [model.id for model in openai_client.models.list()]
    # Then the service's own and OpenAI's names for them are there
    assert {"whisper-1", "tts-1"} <= set(names)
    assert [openai_client.models.retrieve(name).id for name in names] == names


@pytest.mark.parametrize("form", ["json", "text", "srt", "vtt", "verbose_json"])
def test_transcription_formats(either: Service, form: Any) -> None:
    # Given a recording
    # When it is transcribed in a format
    result: Any = client(either).audio.transcriptions.create(
        model="whisper-1", file=QUESTION, response_format=form, language="en"
    )
    text = result if isinstance(result, str) else result.text
    # Then the format is right
    assert "What is the capital of France?" in text
    if form == "srt":
        assert text.startswith("1\n00:00:00,000 --> 00:00:0")
    if form == "vtt":
        assert text.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:0")
    if form == "verbose_json":
        assert result.duration == pytest.approx(1.88, abs=0.02)
        assert result.language == "en"
        assert result.segments[0].text.strip() == text.strip()
        assert result.segments[0].tokens


def test_word_timestamps(either: Service) -> None:
    # Given a recording
    # When the times of its words are asked for
    result = client(either).audio.transcriptions.create(
        model="whisper-1",
        file=QUESTION,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    # Then every word has its own, in order and within the recording
    assert result.words is not None
    assert [word.word for word in result.words] == ["What", "is", "the", "capital", "of", "France?"]
    times = [moment for word in result.words for moment in (word.start, word.end)]
    assert times == sorted(times)
    assert times[-1] <= result.duration
    assert result.words[-1].start > 0.8


def test_translation(either: Service) -> None:
    # Given a recording
    # When a translation into English is asked for
    result = client(either).audio.translations.create(model="whisper-1", file=QUESTION)
    # Then there is one
    assert "capital" in result.text


@pytest.mark.parametrize("form", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
def test_speech_formats(either: Service, form: Any) -> None:
    # Given a text
    # When it is spoken in a format
    sound = client(either).audio.speech.create(
        model="tts-1", voice="alloy", input="Paris is the capital of France.", response_format=form
    )
    # Then ffmpeg reads it, and it is about as long as it takes to say
    raw = ["-f", "s16le", "-ar", "24000", "-ac", "1"] if form == "pcm" else []
    decoded = subprocess.run(
        ["ffmpeg", "-v", "error", *raw, "-i", "-", "-f", "s16le", "-ar", "16000", "-ac", "1", "-"],
        input=sound.content,
        check=True,
        capture_output=True,
    ).stdout
    assert 1.0 < len(decoded) / 2 / 16_000 < 4.0


def test_speed_changes_the_length(local: Service) -> None:
    # Given a text
    def seconds(speed: float) -> float:
        sound = client(local).audio.speech.create(
            model="tts-1",
            voice="en",
            input="This is a sentence of some length.",
            response_format="wav",
            speed=speed,
        )
        with wave.open(io.BytesIO(sound.content)) as file:
            return float(file.getnframes() / file.getframerate())

    # When it is spoken slowly and fast
    # Then the one takes longer
    assert seconds(0.6) > 1.4 * seconds(1.5)


def test_chat(either: Service) -> None:
    # Given a question
    # When it is asked
    answer = client(either).chat.completions.create(
        model="default", messages=HELLO, temperature=0, max_tokens=32
    )
    # Then the answer is right, and counted
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens > 5


def test_chat_stream_is_the_same_answer_in_pieces(either: Service) -> None:
    # Given the answer as a whole
    whole = client(either).chat.completions.create(
        model="default", messages=HELLO, temperature=0, max_tokens=32
    )
    # When it is streamed, with usage
    chunks = list(
        client(either).chat.completions.create(
            model="default",
            messages=HELLO,
            temperature=0,
            max_tokens=32,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    # Then the pieces are the answer, and the end is told
    pieces = [
        c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content
    ]
    assert "".join(pieces) == whole.choices[0].message.content
    assert len(pieces) > 2
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_chat_limits(either: Service) -> None:
    # Given a limit of tokens
    # When a longer answer is asked for
    answer = client(either).chat.completions.create(
        model="default", messages=HELLO, max_tokens=3, temperature=0
    )
    # Then it is cut there, and says so
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 4


def test_stop_text_ends_the_answer(local: Service) -> None:
    # Given a text that shall end the answer
    # When a question is asked
    answer = client(local).chat.completions.create(
        model="default", messages=HELLO, temperature=0, stop=[" France"]
    )
    # Then the answer ends before it
    assert answer.choices[0].message.content == "The capital of"
    assert answer.choices[0].finish_reason == "stop"


def test_errors_are_openais(either: Service) -> None:
    # Given requests that cannot work
    wrong_key = client(either).with_options(api_key="wrong")
    # When they are sent
    # Then the client raises its own errors, with a sentence
    with pytest.raises(openai.AuthenticationError, match="API key is missing or wrong"):
        wrong_key.models.list()
    with pytest.raises(openai.NotFoundError, match="There is no model 'gpt-9'"):
        client(either).chat.completions.create(model="gpt-9", messages=HELLO)
    with pytest.raises(openai.BadRequestError, match="'tools' is not supported"):
        client(either).chat.completions.create(
            model="default",
            messages=HELLO,
            tools=[{"type": "function", "function": {"name": "f"}}],
        )
    with pytest.raises(openai.BadRequestError, match="not valid"):
        client(either).chat.completions.create(model="default", messages=[])
    with pytest.raises(openai.APIStatusError) as caught:
        client(either).audio.transcriptions.create(model="whisper-1", file=b"no sound at all")
    assert caught.value.status_code == 415


def test_unknown_voice_is_named(local: Service) -> None:
    # Given a voice that there is not
    # When it is asked for
    # Then the error names those that there are
    with pytest.raises(openai.BadRequestError, match=r"Voices: auto, .*ko"):
        client(local).audio.speech.create(model="tts-1", voice="nobody", input="Hello")
