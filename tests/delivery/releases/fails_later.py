"""Added to the voice of a release: it refuses to speak, from 10 s after it was loaded."""

import time

# The engine's own.
speak_well = globals()["EspeakNg"].speak
error, code = globals()["ServiceError"], globals()["ErrorCode"].ENGINE_FAILED
loaded = time.monotonic()


def speak(self: object, text: str, options: object) -> object:
    """Speak while the release is looked at; then only what it says to itself, to warm up."""
    if text != "a" and time.monotonic() - loaded > 10:
        raise error(code, task="TTS")
    return speak_well(self, text, options)


globals()["EspeakNg"].speak = speak
