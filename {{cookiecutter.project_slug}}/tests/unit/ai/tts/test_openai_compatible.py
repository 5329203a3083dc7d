import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import Response, StreamingResponse

from app.ai.audio import Waveform
from app.ai.tts.base import SpeechOptions
from app.ai.tts.openai_compatible import OpenAICompatibleSpeech
from app.core.errors import ErrorCode, ServiceError
from tests.conftest import LoadEngines
from tests.helpers import PATIENCE, serving, tone, wav

RATE = 22_050
OPTIONS = SpeechOptions("alloy", speed=1.5, language="ko")
TEXT = "안녕하세요."

server = FastAPI()
"""A speech server whose models are named by what they do."""
requests: list[dict[str, Any]] = []


async def nothing() -> AsyncIterator[bytes]:
    await asyncio.sleep(PATIENCE)
    yield b""


@server.post("/v1/audio/speech")
async def speak(request: Request) -> Response:
    requests.append({**await request.json(), "key": request.headers["Authorization"]})
    requests[-1]["request_id"] = request.headers.get("X-Request-ID")
    sound = wav(tone(0.5, RATE), RATE)
    match requests[-1]["model"]:
        case "refuses":
            raise HTTPException(401, "wrong key")
        case "hangs":
            return StreamingResponse(nothing())
        case "noise":
            return Response(b"<html>an error page</html>")
        case "cut":
            return Response(sound[:20])
        case "24 bits":
            return Response(sound[:34] + b"\x18\0" + sound[36:])
        case "stereo":
            return Response(wav(tone(0.5, RATE), RATE, channels=2))
    return Response(sound)


@contextmanager
def tiny_engine(folder: Path) -> Iterator[dict[str, str]]:
    """Give the settings with which the service uses a server of a few lines."""
    with serving(server) as address:
        yield {"TTS_MODEL": "good", "TTS_BASE_URL": f"{address}/v1", "TTS_VOICE": "alloy"}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(server) as address:
        yield f"{address}/v1"


def speech(load_engines: LoadEngines, address: str, model: str, **changes: object) -> Waveform:
    changes = {"tts_timeout_seconds": 0.4, "tts_workers": 2, **changes}
    first, second = load_engines(
        "tts", "openai-compatible", tts_base_url=address, tts_model=model, **changes
    )
    assert first is second
    assert isinstance(first, OpenAICompatibleSpeech)
    assert (first.model_name, first.voices) == (model, ())
    first.warm_up()
    return first.speak(TEXT, OPTIONS)


@pytest.mark.parametrize("model", ["mono", "stereo"])
def test_a_text_becomes_sound(load_engines: LoadEngines, address: str, model: str) -> None:
    # Given a server that answers in one channel or two, When asked, Then one comes back
    sound = speech(load_engines, address, model)
    assert sound.sample_rate == RATE
    np.testing.assert_allclose(sound.samples, tone(0.5, RATE), atol=1e-4)


@pytest.mark.parametrize(("key", "sent"), [("secret", "Bearer secret"), ("", "Bearer none")])
def test_the_server_has_the_whole_request(
    load_engines: LoadEngines, address: str, key: str, sent: str
) -> None:
    # Given a server with a key, or without one
    speech(load_engines, address, "good", tts_api_key=key)
    # When it is asked, Then it has the text and how to speak it
    wanted = {"input": TEXT, "voice": "alloy", "speed": 1.5, "response_format": "wav"}
    assert requests[-1].items() >= {**wanted, "key": sent}.items()


@pytest.mark.parametrize("model", ["refuses", "hangs", "noise", "cut", "24 bits"])
def test_a_server_that_is_down_is_told(load_engines: LoadEngines, address: str, model: str) -> None:
    # Given a server that refuses, says nothing, or sends no sound that we know
    with pytest.raises(ServiceError) as failed:
        speech(load_engines, address, model)
    # When it is asked, Then the error is one that the service knows, without the server's words
    assert failed.value.code is ErrorCode.ENGINE_FAILED
    assert failed.value.message("ko").startswith("TTS ")


def test_the_server_is_told_which_request_it_works_for(
    load_engines: LoadEngines, address: str
) -> None:
    # Given a request with an id, When its engine asks the server, Then the id goes along
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        speech(load_engines, address, "mono")
    assert requests[-1]["request_id"] == "r-1"
    # And outside a request, as when it warms up, there is none
    speech(load_engines, address, "mono")
    assert requests[-1]["request_id"] is None
