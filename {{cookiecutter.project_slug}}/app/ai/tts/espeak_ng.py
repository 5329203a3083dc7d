"""espeak-ng: small, quick and robotic, with more than a hundred languages."""

import io
import shutil
import subprocess

import numpy as np

from app.ai.audio import Waveform
from app.ai.tts.base import SpeechOptions
from app.core.config import Settings, SettingsSource
from app.core.errors import ErrorCode, ServiceError

PROGRAM = "espeak-ng"
NORMAL_WORDS_PER_MINUTE = 175  # espeak-ng's own default
WALL_SECONDS = 30.0
WAV_HEADER_BYTES = 44
AUTO = "auto"
DEFAULT_LANGUAGE = "en"


class EngineSettings(SettingsSource):
    """No settings but the common ones; ``tts_voice`` is a language code or ``auto``."""


class EspeakNg:
    """A process for each text."""

    model_name = PROGRAM

    def __init__(self, voices: tuple[str, ...]) -> None:
        self.voices = (AUTO, *voices)

    def warm_up(self) -> None:
        """Speak a letter."""
        self.speak("a", SpeechOptions(DEFAULT_LANGUAGE))

    def speak(self, text: str, options: SpeechOptions) -> Waveform:
        """Speak a text; the voice ``auto`` follows the text's language. See `TextToSpeech`."""
        voice = options.voice
        if voice == AUTO:
            voice = options.language or DEFAULT_LANGUAGE
        speed = str(round(NORMAL_WORDS_PER_MINUTE * options.speed))
        sound = _run("-v", voice, "-s", speed, "--stdin", "--stdout", text=text)
        # The header is written before the length is known; what follows it is 16-bit mono.
        rate = int.from_bytes(sound[24:28], "little")
        samples = np.frombuffer(sound[WAV_HEADER_BYTES:], "<i2").astype(np.float32) / np.float32(
            32768
        )
        return Waveform(samples, rate)


def load(settings: Settings, own: EngineSettings) -> list[EspeakNg]:  # noqa: ARG001 - the engines' common form
    """Look for the program and its voices."""
    if shutil.which(PROGRAM) is None:
        raise FileNotFoundError(f"{PROGRAM} is not installed: apt-get install {PROGRAM}")
    lines = io.StringIO(_run("--voices").decode()).readlines()[1:]
    codes = {line.split()[1] for line in lines}  # en-gb; the program takes en as well
    voices = codes | {code.partition("-")[0] for code in codes}
    return [EspeakNg(tuple(sorted(voices)))] * settings.tts_workers


def _run(*arguments: str, text: str = "") -> bytes:
    """Return what the program writes.

    Raises:
        ServiceError: ENGINE_FAILED.
    """
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, no shell, the text on standard input
            [PROGRAM, "-b", "1", *arguments],
            input=text.encode(),
            capture_output=True,
            timeout=WALL_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ServiceError(
            ErrorCode.ENGINE_FAILED, task="TTS", detail=type(error).__name__
        ) from error
    return done.stdout
