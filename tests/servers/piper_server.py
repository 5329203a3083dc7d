"""A speech server in OpenAI's form, for tests: real speech from a Piper voice.

    python piper_server.py VOICE.onnx --port N

It answers POST /v1/audio/speech (wav, or pcm: 24 kHz, 16 bit, mono), GET /v1/models and GET /health
on 127.0.0.1. Its one model is called "piper"; it takes any voice name and speaks with the one voice
that it has.
"""

import argparse
import io
import threading
import wave
from typing import Annotated, Any

import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from piper import PiperVoice, SynthesisConfig
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

MODEL = "piper"
PCM_RATE = 24_000


class SpeechRequest(BaseModel):
    """The body of POST /v1/audio/speech."""

    model: str
    input: Annotated[str, Field(min_length=1, max_length=4096)]
    voice: Annotated[str, Field(min_length=1)]
    response_format: str = "mp3"  # OpenAI's default, which this server refuses
    speed: Annotated[float, Field(ge=0.25, le=4.0)] = 1.0


def error(status: int, message: str, param: str | None = None, code: str | None = None) -> Response:
    """Answer with an error in OpenAI's form."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = {"message": message, "type": kind, "param": param, "code": code}
    return JSONResponse({"error": body}, status)


def build_app(voice: PiperVoice) -> FastAPI:
    """Return the server for one voice."""
    app = FastAPI()
    lock = threading.Lock()  # espeak-ng, which finds the phonemes, keeps global state

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, problem: RequestValidationError) -> Response:
        first = problem.errors()[0]
        return error(400, first["msg"], ".".join(str(part) for part in first["loc"][1:]))

    @app.exception_handler(StarletteHTTPException)
    async def refused(_: Request, problem: HTTPException) -> Response:
        return error(problem.status_code, str(problem.detail))

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "piper"}
        return {"object": "list", "data": [model]}

    @app.post("/v1/audio/speech")
    def speech(body: SpeechRequest) -> Response:
        if body.model != MODEL:
            message = f"The model `{body.model}` does not exist"
            return error(404, message, code="model_not_found")
        if body.response_format not in ("wav", "pcm"):
            return error(400, "This server speaks wav and pcm only", "response_format")
        pace = SynthesisConfig(length_scale=voice.config.length_scale / body.speed)
        with lock:
            chunks = [chunk.audio_int16_array for chunk in voice.synthesize(body.input, pace)]
        rate = voice.config.sample_rate
        samples = np.concatenate([*chunks, np.zeros(rate // 10, np.int16)])  # no speech in "..."
        if body.response_format == "pcm":
            times = np.arange(len(samples) * PCM_RATE // rate) * (rate / PCM_RATE)
            resampled = np.interp(times, np.arange(len(samples)), samples)
            return Response(resampled.astype("<i2").tobytes(), media_type="audio/pcm")
        file = io.BytesIO()
        with wave.open(file, "wb") as out:
            out.setparams((1, 2, rate, 0, "NONE", ""))
            out.writeframes(samples.astype("<i2").tobytes())
        return Response(file.getvalue(), media_type="audio/wav")

    return app


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("voice", help="the voice's .onnx file; its .onnx.json lies beside it")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    app = build_app(PiperVoice.load(arguments.voice))
    uvicorn.run(app, host="127.0.0.1", port=arguments.port)


if __name__ == "__main__":
    main()
