import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse

from app.ai.llm.base import ChatEnd, ChatMessage, ChatOptions
from app.ai.llm.openai_compatible import OpenAICompatibleChat
from app.core.errors import ErrorCode, ServiceError
from tests.conftest import LoadEngines
from tests.helpers import PATIENCE, serving

PIECES = ("네, ", "잘 ", "들립니다.")
OPTIONS = ChatOptions(max_tokens=8, temperature=0.5, top_p=0.9, stop=("끝",), seed=7)
QUESTION = [ChatMessage("system", "짧게."), ChatMessage("user", "들려요?")]
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}

server = FastAPI()
"""A chat server whose models are named by what they do."""
requests: list[dict[str, Any]] = []
left = threading.Event()


@server.post("/v1/chat/completions")
async def complete(request: Request) -> StreamingResponse:
    requests.append({**await request.json(), "key": request.headers["Authorization"]})
    requests[-1]["request_id"] = request.headers.get("X-Request-ID")
    if requests[-1]["model"] == "refuses":
        raise HTTPException(401, "wrong key")
    return StreamingResponse(answer(requests[-1]["model"]), media_type="text/event-stream")


async def answer(model: str) -> AsyncIterator[str]:
    for piece in PIECES:
        yield event({"choices": [{"index": 0, "delta": {"content": piece}}]})
        if model == "breaks":
            raise ConnectionError("the server goes down in the middle of an answer")
        if model == "hangs":
            try:
                await asyncio.sleep(PATIENCE)
            finally:
                left.set()
    reason = "length" if model == "babbles" else "stop"
    yield event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    if model != "counts nothing":
        yield event({"choices": [], "usage": USAGE})
    yield "data: [DONE]\n\n"


def event(chunk: dict[str, Any]) -> str:
    fixed = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    return f"data: {json.dumps(fixed | chunk)}\n\n"


@contextmanager
def tiny_engine(folder: Path) -> Iterator[dict[str, str]]:
    """Give the settings with which the service uses a server of a few lines."""
    with serving(server) as address:
        yield {"LLM_MODEL": "good", "LLM_BASE_URL": f"{address}/v1", "LLM_API_KEY": "secret"}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(server) as address:
        yield f"{address}/v1"


def chat(
    load_engines: LoadEngines, address: str, model: str, pieces: list[str], **changes: object
) -> ChatEnd:
    changes = {"llm_timeout_seconds": 0.5, "llm_workers": 2, **changes}
    first, second = load_engines(
        "llm", "openai-compatible", llm_base_url=address, llm_model=model, **changes
    )
    assert first is second
    assert isinstance(first, OpenAICompatibleChat)
    assert first.model_name == model
    first.warm_up()
    return first.chat(QUESTION, OPTIONS, pieces.append)


@pytest.mark.parametrize(
    ("model", "end"),
    [
        ("good", ChatEnd("stop", 9, 3)),
        ("babbles", ChatEnd("length", 9, 3)),
        ("counts nothing", ChatEnd("stop", 0, len(PIECES))),
    ],
)
def test_an_answer_comes_piece_by_piece(
    load_engines: LoadEngines, address: str, model: str, end: ChatEnd
) -> None:
    # Given a server that answers
    pieces: list[str] = []
    # When it is asked, Then its pieces are passed on, and how the answer ended
    assert chat(load_engines, address, model, pieces) == end
    assert tuple(pieces) == PIECES


@pytest.mark.parametrize(("key", "sent"), [("secret", "Bearer secret"), ("", "Bearer none")])
def test_the_server_has_the_whole_request(
    load_engines: LoadEngines, address: str, key: str, sent: str
) -> None:
    # Given a server with a key, or without one
    chat(load_engines, address, "good", [], llm_api_key=key)
    # When it is asked, Then it has the conversation and every option
    request = requests[-1]
    assert request["key"] == sent
    assert [(m["role"], m["content"]) for m in request["messages"]] == [
        ("system", "짧게."),
        ("user", "들려요?"),
    ]
    options = {"max_tokens": 8, "temperature": 0.5, "top_p": 0.9, "stop": ["끝"], "seed": 7}
    assert request.items() >= options.items()


@pytest.mark.parametrize(("model", "got"), [("refuses", 0), ("breaks", 1), ("hangs", 1)])
def test_a_server_that_is_down_is_told(
    load_engines: LoadEngines, address: str, model: str, got: int
) -> None:
    # Given a server that refuses, breaks off, or has nothing more to say for too long
    pieces: list[str] = []
    with pytest.raises(ServiceError) as failed:
        chat(load_engines, address, model, pieces)
    # When it is asked, Then the error is one that the service knows, without the server's words
    assert failed.value.code is ErrorCode.ENGINE_FAILED
    assert failed.value.message("ko").startswith("LLM ")
    assert len(pieces) == got


def test_no_server_is_told(load_engines: LoadEngines) -> None:
    # Given an address where nobody listens, When asked, Then the error is the same
    with pytest.raises(ServiceError) as failed:
        chat(load_engines, "http://127.0.0.1:9/v1", "good", [])
    assert failed.value.code is ErrorCode.ENGINE_FAILED


def test_a_reader_that_leaves_hangs_up(load_engines: LoadEngines, address: str) -> None:
    # Given a reader who leaves at the first piece
    class GoneError(Exception):
        pass

    class Leaver(list[str]):
        def append(self, piece: str) -> None:
            raise GoneError

    left.clear()
    # When the server goes on, Then nobody listens, and it notices
    with pytest.raises(GoneError):
        chat(load_engines, address, "hangs", Leaver(), llm_timeout_seconds=PATIENCE)
    assert left.wait(PATIENCE)


def test_the_server_is_told_which_request_it_works_for(
    load_engines: LoadEngines, address: str
) -> None:
    # Given a request with an id, When its engine asks the server, Then the id goes along
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        chat(load_engines, address, "good", [])
    assert requests[-1]["request_id"] == "r-1"
    # And outside a request, as when it warms up, there is none
    chat(load_engines, address, "good", [])
    assert requests[-1]["request_id"] is None
