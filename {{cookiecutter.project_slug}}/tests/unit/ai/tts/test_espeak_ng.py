from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from app.ai.tts.base import SpeechOptions
from app.ai.tts.espeak_ng import EspeakNg
from app.core.errors import ErrorCode, ServiceError
from tests.conftest import LoadEngines


@contextmanager
def tiny_engine(folder: Path) -> Iterator[dict[str, str]]:
    """Give the settings with which the service uses the program: its own will do."""
    yield {}


@pytest.fixture
def engine(load_engines: LoadEngines) -> EspeakNg:
    first, second = load_engines("tts", "espeak-ng", tts_workers=2)
    assert first is second
    first.warm_up()
    assert isinstance(first, EspeakNg)
    return first


def test_it_has_the_programs_voices(engine: EspeakNg) -> None:
    # Given the program, When loaded, Then its languages are voices, and auto
    assert {"auto", "ko", "en-us"} <= {*engine.voices}
    assert engine.model_name == "espeak-ng"


@pytest.mark.parametrize(("voice", "language"), [("ko", None), ("auto", "ko"), ("auto", None)])
def test_a_text_becomes_sound(engine: EspeakNg, voice: str, language: str | None) -> None:
    # Given a voice, or the text's own language, When spoken, Then it can be heard
    sound = engine.speak("안녕하세요. Hello.", SpeechOptions(voice, language=language))
    assert sound.sample_rate == 22_050
    assert sound.samples.dtype == np.float32
    assert 0.05 < np.abs(sound.samples).max() <= 1
    assert sound.seconds > 0.5


def test_auto_speaks_the_language_of_the_text(engine: EspeakNg) -> None:
    # Given Korean, When spoken by auto, Then as by the Korean voice
    text = "안녕하세요"
    by_name = engine.speak(text, SpeechOptions("ko"))
    by_text = engine.speak(text, SpeechOptions("auto", language="ko"))
    np.testing.assert_array_equal(by_text.samples, by_name.samples)


def test_speed_shortens(engine: EspeakNg) -> None:
    # Given a text, When spoken faster, Then it takes less time
    slow, fast = (engine.speak("Hello there.", SpeechOptions("en", speed)) for speed in (0.5, 2))
    assert fast.seconds < slow.seconds


def test_a_text_is_never_an_option(engine: EspeakNg) -> None:
    # Given a text that looks like one of the program's options, When spoken, Then it is read out
    assert engine.speak("--version -w /tmp/x", SpeechOptions("en")).seconds > 0.5


def test_a_program_that_fails_is_told(engine: EspeakNg) -> None:
    # Given a voice that the program has not
    with pytest.raises(ServiceError) as failed:
        engine.speak("Hello", SpeechOptions("xx"))
    # When spoken, Then the error is one that the service knows
    assert failed.value.code is ErrorCode.ENGINE_FAILED


def test_a_missing_program_is_told(
    load_engines: LoadEngines, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Given a machine without it
    monkeypatch.setenv("PATH", str(tmp_path))
    # When loaded, Then the message says how to get it
    with pytest.raises(FileNotFoundError, match="apt-get install espeak-ng"):
        load_engines("tts", "espeak-ng")
