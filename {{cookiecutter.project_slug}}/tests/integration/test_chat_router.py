import unicodedata

import pytest
from fastapi.testclient import TestClient

from app.ai.llm.base import ChatMessage
from app.services.chat_service import FALLBACK
from tests.conftest import Logs, StartApp
from tests.doubles import Doubles


def test_a_question_is_answered(client: TestClient, doubles: Doubles) -> None:
    # Given a Korean question in separate jamo, and a history
    history = [
        {"role": "user", "content": "안녕?"},
        {"role": "assistant", "content": "네, 안녕하세요."},
    ]
    query = unicodedata.normalize("NFD", "제 말 들려요?")
    # When it is asked
    response = client.post("/api/chat", json={"query": query, "history": history})
    # Then the answer is there, in letters that people can read, and the model had it all
    assert response.status_code == 200
    assert response.json() == {"query": query, "answer": "네, 잘 들립니다.", "sources": []}
    assert "잘 들립니다" in response.text
    ((messages, _),) = doubles.llm.calls
    assert messages[1:] == [
        *(ChatMessage(turn["role"], turn["content"]) for turn in history),  # type: ignore[arg-type]
        ChatMessage("user", "제 말 들려요?"),
    ]


def test_a_model_that_is_down_is_excused(start_app: StartApp, doubles: Doubles) -> None:
    # Given a model that fails, and Korean messages
    client = start_app(message_language="ko")
    doubles.llm.error = RuntimeError("no memory")
    # When it is asked, Then a sentence comes, not an error
    response = client.post("/api/chat", json={"query": "안녕?"})
    assert (response.status_code, response.json()["answer"]) == (200, FALLBACK["ko"])


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({}, "body.query"),
        ({"query": " \n"}, "body.query"),
        ({"query": "x" * 8001}, "body.query"),
        ({"query": "?", "history": [{"role": "system", "content": "x"}]}, "body.history.0.role"),
    ],
)
def test_a_request_that_is_wrong_is_told_where(
    client: TestClient, request_: dict[str, object], named: str
) -> None:
    # Given a request with something wrong, When sent, Then the detail names it
    response = client.post("/api/chat", json=request_)
    assert response.status_code == 400
    assert response.json()["error_code"] == "INVALID_REQUEST"
    assert response.json()["detail"].startswith(named)


def test_texts_are_logged_only_where_that_is_switched_on(start_app: StartApp, logs: Logs) -> None:
    # Given a service as it is by default, When it answers, Then its log holds no word of it
    start_app().post("/api/chat", json={"query": "제 말 들려요?"})
    assert not [line for line in logs() if "들려" in str(line) or "들립니다" in str(line)]
    # And where it is switched on, numbers of persons are masked all the same
    query = "제 번호는 010-1234-5678입니다"
    start_app(log_texts=True).post("/api/chat", json={"query": query})
    (texts,) = [line for line in logs() if line["event"] == "texts"]
    assert texts["query"] == "제 번호는 ***입니다"
    assert texts["answer"] == "네, 잘 들립니다."
