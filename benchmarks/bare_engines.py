"""The engines with nothing around them; run by ``serving.py`` in a project's environment.

Loads a recogniser and a chat model as the service does, writes one token, then transcribes each
file named on standard input and answers with the wall seconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

LADDER = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def faster_whisper(weights: str) -> Callable[[str], str]:
    """Return a transcriber with the service's own settings."""
    from faster_whisper import WhisperModel

    model = WhisperModel(weights, device="cpu", compute_type="int8", cpu_threads=1, num_workers=2)

    def transcribe(file: str) -> str:
        segments, _ = model.transcribe(
            file,
            language="en",
            beam_size=5,
            temperature=LADDER,
            condition_on_previous_text=False,
            vad_filter=True,
        )
        return "".join(segment.text for segment in segments)

    return transcribe


def openai_whisper(weights: str) -> Callable[[str], str]:
    """Return a transcriber with the service's own settings."""
    import torch
    import whisper

    model = whisper.load_model(weights, device="cpu")

    def transcribe(file: str) -> str:
        torch.set_num_threads(1)
        result = model.transcribe(
            file,
            language="en",
            beam_size=5,
            temperature=LADDER,
            condition_on_previous_text=False,
            fp16=False,
        )
        return str(result["text"])

    return transcribe


def load_chat_model(folder: str) -> object:
    """Load the chat model and have it write a token."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
    model.generate(**tokenizer("Hello", return_tensors="pt"), max_new_tokens=1)
    return tokenizer, model


def main() -> None:
    """Answer a line for each line."""
    name, weights, chat = sys.argv[1:]
    transcribe = {"faster-whisper": faster_whisper, "openai-whisper": openai_whisper}[name](weights)
    kept = load_chat_model(chat)
    for line in sys.stdin:
        started = time.perf_counter()
        transcribe(line.strip())
        print(json.dumps(time.perf_counter() - started), flush=True)
    del kept


if __name__ == "__main__":
    main()
