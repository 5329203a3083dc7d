"""A spoken question, a trained model's answer, spoken and understood again."""

from __future__ import annotations

import io
import re
import time
import unicodedata
import wave
from pathlib import Path

import httpx2
import numpy as np

from tests.conftest import ROOT
from tests.service.conftest import client, post
from tests.service.test_speech_to_text import transcribe, word_error_rate
from tools.service_process import Service

QUESTION = ROOT / "tests" / "data" / "question.wav"
QUESTIONS = (
    "What is the capital of France?",
    "Why is the sky blue?",
    "What do plants need to grow?",
    "How does a bicycle stay upright?",
)
SPOKEN_NAME = re.compile(r"/static/tts/\d{8}T\d{6}Z_[0-9a-f]{32}\.wav")


def ask(service: Service, question: bytes) -> tuple[dict[str, str], bytes]:
    """Ask a question aloud; return the turn and the spoken answer."""
    response = post(service, "/api/voice-chat", question)
    assert response.status_code == 200, response.text
    turn = response.json()
    sound = httpx2.get(service.url + turn["tts_url"])
    assert sound.headers["content-type"] in {"audio/wav", "audio/x-wav", "audio/vnd.wave"}
    return turn, sound.content


def test_spoken_question_gets_the_right_answer(either: Service) -> None:
    # Given a question that was spoken
    # When it is asked of a trained model, in the process or on another server
    turn, _ = ask(either, QUESTION.read_bytes())
    # Then it was heard, and the answer is right
    assert word_error_rate("What is the capital of France?", turn["query"]) == 0
    assert "Paris" in turn["answer"]
    assert SPOKEN_NAME.fullmatch(turn["tts_url"])
    assert not turn["sources"]


def test_conversation_by_voice_alone(remote: Service, tmp_path: Path) -> None:
    # Given questions, spoken by a neural voice
    said, heard, answered, understood = [], [], [], []
    file = tmp_path / "spoken.wav"
    for question in QUESTIONS:
        client(remote).audio.speech.create(
            model="tts-1", voice="alloy", input=question, response_format="wav"
        ).write_to_file(file)
        # When they are asked, and the spoken answers are transcribed again
        turn, sound = ask(remote, file.read_bytes())
        file.write_bytes(sound)
        said.append(question)
        heard.append(turn["query"])
        answered.append(turn["answer"])
        understood.append(transcribe(remote, file))
    # Then of the questions as of the answers, at most one word in ten is another
    assert word_error_rate(" ".join(said), " ".join(heard)) <= 0.10
    assert word_error_rate(" ".join(answered), " ".join(understood)) <= 0.10


def test_espeak_answer_is_sound_of_the_right_length(local: Service) -> None:
    # Given an answer that espeak-ng has spoken
    turn, sound = ask(local, QUESTION.read_bytes())
    # When it is read as sound
    with wave.open(io.BytesIO(sound)) as file:
        seconds = file.getnframes() / file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    # Then it is as long as speech of its words would be, and not silent
    assert 0.15 < seconds / len(turn["answer"].split()) < 1.0
    assert np.abs(samples).max() > 3000


def test_korean_text_is_spoken_in_korean(local: Service) -> None:
    # Given a Korean sentence, and the voice that follows the language
    korean = "안녕하세요. 오늘 회의는 오후 3시에 시작합니다."
    # When it is spoken by itself, with the Korean and with the English voice
    spoken = {
        voice: client(local)
        .audio.speech.create(model="tts-1", voice=voice, input=korean, response_format="wav")
        .content
        for voice in ("auto", "ko", "en")
    }
    # Then the language was recognised
    assert spoken["auto"] == spoken["ko"]
    assert spoken["auto"] != spoken["en"]


def test_korean_question_passes_unharmed(local: Service) -> None:
    # Given a Korean question, its syllables taken apart as some systems type them
    question = "대한민국의 수도는 어디인가요?"
    taken_apart = unicodedata.normalize("NFD", question)
    # When it is asked
    response = httpx2.post(
        f"{local.url}/api/chat",
        headers={"Authorization": f"Bearer {local.key}"},
        json={"query": taken_apart, "history": [{"role": "user", "content": "안녕"}]},
        timeout=600,
    )
    # Then it comes back as it was, readable in the JSON, with an answer
    assert response.status_code == 200
    assert response.json()["query"] == taken_apart
    assert response.json()["answer"]
    assert "\\u" not in response.text


def test_steps_are_timed(local: Service) -> None:
    # Given a question
    started = time.perf_counter()
    # When it is asked
    response = post(local, "/api/voice-chat", QUESTION.read_bytes())
    took = time.perf_counter() - started
    # Then the header tells the seconds of each step, and they fit into the whole
    timing = dict(part.split(";dur=") for part in response.headers["server-timing"].split(", "))
    assert list(timing) == ["stt", "llm", "tts", "total"]
    assert float(timing["total"]) / 1000 <= took
