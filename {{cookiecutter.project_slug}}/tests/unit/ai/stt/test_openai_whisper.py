from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from whisper import timing
from whisper.model import ModelDimensions, Whisper

from app.ai.audio import SAMPLE_RATE
from app.ai.stt.base import TranscribeOptions, Transcript
from app.ai.stt.openai_whisper import SILENCE, OpenAIWhisper
from tests.conftest import LoadEngines
from tests.helpers import speech_samples

WIDTH = 16
TEXT_CONTEXT = 32  # half of it is the longest text of a window
MULTILINGUAL_VOCABULARY = 51_865
OPTIONS = TranscribeOptions(language="ko", temperature=0.0)


def build_tiny(folder: Path, vocabulary: int = MULTILINGUAL_VOCABULARY) -> Path:
    """Write a Whisper of random weights; its tokenizer is the real one."""
    text = {"n_text_ctx": TEXT_CONTEXT, "n_text_state": WIDTH, "n_text_head": 2, "n_text_layer": 2}
    sound = {"n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": WIDTH}
    layers = {"n_audio_head": 1, "n_audio_layer": 1, "n_vocab": vocabulary}
    dims = ModelDimensions(**text, **sound, **layers)
    torch.manual_seed(0)
    model = Whisper(dims)
    torch.nn.init.normal_(model.decoder.token_embedding.weight, std=0.5)
    torch.nn.init.normal_(model.decoder.positional_embedding, std=0.5)
    file = folder / "tiny.pt"
    torch.save({"dims": vars(dims), "model_state_dict": model.state_dict()}, file)
    return file


@contextmanager
def tiny_engine(folder: Path) -> Iterator[dict[str, str]]:
    """Give the settings with which the service uses a tiny model."""
    yield {"STT_MODEL": str(build_tiny(folder)), "STT_BEAM_SIZE": "1"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("whisper"))


@pytest.fixture
def engines(weights: Path, load_engines: LoadEngines) -> list[OpenAIWhisper]:
    return load_engines("stt", "openai-whisper", stt_model=weights, stt_workers=2, stt_beam_size=1)


def test_workers_share_the_weights_and_nothing_else(engines: list[OpenAIWhisper]) -> None:
    # Given two workers
    first, second = (engine._model for engine in engines)
    # When their models are compared
    # Then the weights are the same memory, the modules that keep a decoding's state are not
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(one.data_ptr() == other.data_ptr() for one, other in pairs)
    assert all(a is not b for a, b in zip(first.modules(), second.modules(), strict=True))
    assert {engine.model_name for engine in engines} == {"tiny"}


def test_both_at_once_hear_what_each_hears_alone(engines: list[OpenAIWhisper]) -> None:
    # Given four recordings, and what one worker hears in them
    loud = speech_samples()
    recordings = [(loud * volume).astype(np.float32) for volume in (0.3, 0.5, 0.8, 1.0)]

    def hear(engine: OpenAIWhisper) -> list[Transcript]:
        return [engine.transcribe(samples, OPTIONS) for samples in recordings]

    alone = hear(engines[0])
    # When two workers hear them at the same time
    with ThreadPoolExecutor(2) as threads:
        together = [*threads.map(hear, engines)]
    # Then the text and the measures are the same
    assert together == [alone, alone]
    assert any(transcript.segments for transcript in alone)


def test_words_have_their_times_while_another_worker_is_busy(engines: list[OpenAIWhisper]) -> None:
    # Given what one worker hears, with the times of the words
    samples = speech_samples().astype(np.float32)
    timed = replace(OPTIONS, word_timestamps=True)
    alone = engines[0].transcribe(samples, timed)
    # When both do that at the same time, again and again
    with ThreadPoolExecutor(2) as threads:
        together = [
            *threads.map(lambda n: engines[n % 2].transcribe(samples, timed), range(8)),
        ]
    # Then neither is disturbed: words, times and tokens are the same, and so are the measures, but
    # for their last digits, in which the order of a sum shows
    for transcript in together:
        assert len(transcript.segments) == len(alone.segments)
        for segment, same in zip(transcript.segments, alone.segments, strict=True):
            for name in ("avg_logprob", "no_speech_prob"):
                assert getattr(segment, name) == pytest.approx(getattr(same, name), rel=1e-3)
            measures = {"avg_logprob": same.avg_logprob, "no_speech_prob": same.no_speech_prob}
            assert replace(segment, **measures) == same


def test_segments_are_complete_and_lie_over_speech(engines: list[OpenAIWhisper]) -> None:
    # Given speech, with silence behind it
    samples = np.concatenate([speech_samples(), SILENCE, SILENCE])
    # When it is transcribed
    transcript = engines[0].transcribe(samples, OPTIONS)
    # Then every segment has Whisper's measures, and none lies in the silence
    assert transcript.language == "ko"
    assert transcript.seconds == len(samples) / SAMPLE_RATE
    for segment in transcript.segments:
        assert segment.start < len(speech_samples()) / SAMPLE_RATE
        assert segment.start <= segment.end
        assert segment.tokens
        assert segment.avg_logprob <= 0
        assert 0 <= segment.no_speech_prob <= 1


def test_silence_is_no_text(engines: list[OpenAIWhisper]) -> None:
    # Given silence, When transcribed, Then nothing is invented
    transcript = engines[0].transcribe(SILENCE, TranscribeOptions())
    assert (transcript.segments, transcript.text, transcript.seconds) == ((), "", 1.0)


@pytest.mark.parametrize("task", ["transcribe", "translate"])
def test_the_language_is_detected(engines: list[OpenAIWhisper], task: str) -> None:
    # Given no language, and words to expect
    options = TranscribeOptions(task=task, prompt="Kodex", temperature=0.0)  # type: ignore[arg-type]
    # When it is transcribed or translated, Then the model has found one
    assert engines[0].transcribe(speech_samples(), options).language


def test_words_have_times(
    weights: Path, load_engines: LoadEngines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a checkpoint with its alignment heads beside it (numba would compile for seconds)
    for name in ("dtw_cpu", "backtrace"):
        monkeypatch.setattr(timing, name, getattr(timing, name).py_func)
    (tmp_path / "heads.pt").symlink_to(weights)
    (tmp_path / "heads.json").write_text('{"alignment_heads": [[1, 0]]}')
    changes = {"stt_model": tmp_path / "heads.pt", "stt_workers": 1, "stt_vad": False}
    (engine,) = load_engines("stt", "openai-whisper", **changes)
    # When words are wanted
    options = replace(OPTIONS, word_timestamps=True)
    transcript = engine.transcribe(speech_samples(), options)
    # Then they stand in their segments, in order
    assert engine._model.alignment_heads.to_dense().tolist() == [[False, False], [True, False]]
    words = [word for segment in transcript.segments for word in segment.words]
    assert words
    assert all(word.start <= word.end for word in words)


def test_an_english_model_takes_english(load_engines: LoadEngines, tmp_path: Path) -> None:
    # Given a model of one language, and a caller who names another
    weights = build_tiny(tmp_path, MULTILINGUAL_VOCABULARY - 1)
    (engine,) = load_engines("stt", "openai-whisper", stt_model=weights, stt_workers=1)
    engine.warm_up()
    # When it transcribes, Then in the language it has
    assert engine.transcribe(speech_samples(), OPTIONS).language == "en"


def test_missing_weights_are_told(load_engines: LoadEngines) -> None:
    # Given a file that is not there, When loaded, Then the message says which setting names it
    with pytest.raises(FileNotFoundError, match=r"STT_MODEL names .*missing\.pt"):
        load_engines("stt", "openai-whisper", stt_model="missing.pt")


def test_weights_are_found_in_the_models_folder(load_engines: LoadEngines, weights: Path) -> None:
    # Given the name of a file among the models, When loaded, Then those weights are used
    changes = {"stt_model": weights.name, "models_dir": weights.parent, "stt_workers": 1}
    (engine,) = load_engines("stt", "openai-whisper", **changes)
    assert engine.model_name == weights.stem
