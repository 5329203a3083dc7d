import pytest
from httpx2 import Client

from tests.e2e.conftest import Programs
from tests.helpers import SPEECH

CONFIGURATION_ERROR, LOAD_FAILURE = 78, 3
NO_SPEECH = 422


def test_a_spoken_question_is_answered_aloud(client: Client) -> None:
    # Given a recording of a voice
    files = {"file": ("question.wav", SPEECH.read_bytes())}
    # When it is asked
    response = client.post("/api/voice-chat", files=files)
    # Then question and answer are there (a model of random weights may hear nothing)
    if response.status_code == NO_SPEECH:
        assert response.json()["error_code"] == "NO_SPEECH"
        return
    answer = response.json()
    assert (response.status_code, list(answer)) == (200, ["query", "answer", "sources", "tts_url"])
    assert answer["query"]
    assert answer["answer"]
    if answer["tts_url"]:  # random letters may be none that a voice can speak
        assert client.get(answer["tts_url"]).content.startswith(b"RIFF")


def test_a_typed_question_is_answered(client: Client) -> None:
    # Given a question in Korean, When asked, Then it comes back with an answer
    answer = client.post("/api/chat", json={"query": "제 말 들려요?"}).json()
    assert answer["query"] == "제 말 들려요?"
    assert answer["answer"]


def test_openais_clients_are_served(client: Client) -> None:
    # Given the three engines under the names that OpenAI's clients know
    files = {"file": ("question.wav", SPEECH.read_bytes())}
    fields = {"model": "whisper-1", "response_format": "verbose_json", "language": "ko"}
    request = {"model": "default", "messages": [{"role": "user", "content": "안녕?"}]}
    # When each is called
    heard = client.post("/v1/audio/transcriptions", files=files, data=fields)
    written = client.post("/v1/chat/completions", json={**request, "max_tokens": 8})
    spoken = client.post("/v1/audio/speech", json={"model": "tts-1", "input": "안녕하세요. Hi."})
    # Then each has done its work
    assert heard.json()["language"] == "ko"
    assert heard.json()["duration"] == pytest.approx(1.57, abs=0.01)
    assert written.json()["choices"][0]["finish_reason"] in {"stop", "length"}
    assert written.json()["usage"]["completion_tokens"] >= 1
    assert spoken.headers["Content-Type"] == "audio/mpeg"
    assert len(spoken.content) > 1000


def test_bad_settings_are_told_together(programs: Programs) -> None:
    # Given settings with five problems, When started, Then one message lists them, and no trace
    status, message = programs.with_bad_settings.end()
    assert status == CONFIGURATION_ERROR
    assert "Traceback" not in message
    for name in ("API_KEYS", "PORT", "STT_ENGINE", "LLM_ENGINE", "TTS_ENGINE"):
        assert f"\n  - {name}: " in message


def test_missing_weights_are_told_in_one_line(programs: Programs) -> None:
    # Given a model that is not there, When started, Then the program ends, and one line says why
    status, log = programs.without_weights.end()
    (line,) = (line for line in log.splitlines() if '"level": "error"' in line)
    assert status == LOAD_FAILURE
    assert "missing.pt" in line
    assert "Traceback" not in log


def test_it_ends_well_when_it_is_told_to(client: Client, programs: Programs) -> None:
    # Given a program that has served, When the platform ends it, Then it ends in order
    status, log = programs.good.stop()
    assert status == 0
    assert '"level": "error"' not in log
    assert "Traceback" not in log
