from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import ctranslate2
import numpy as np
import pytest
from faster_whisper.tokenizer import _LANGUAGE_CODES
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from app.ai.audio import SAMPLE_RATE
from app.ai.stt.base import TranscribeOptions, Transcript
from app.ai.stt.faster_whisper import SILENCE, FasterWhisper
from tests.conftest import LoadEngines
from tests.helpers import speech_samples

WIDTH = 16
END_OF_TEXT = 50_257  # where Whisper's multilingual vocabulary has it
TIMESTAMPS = 1501
EAGER_TO_END = 4
OPTIONS = TranscribeOptions(language="ko", temperature=0.0)


def build_tiny(folder: Path) -> Path:
    """Write a Whisper of random weights in CTranslate2's form, its tokens where Whisper's are."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    fillers = [f"<filler{number}>" for number in range(END_OF_TEXT - len(letters) - 1)]
    languages = [f"<|{code}|>" for code in _LANGUAGE_CODES if code != "yue"]
    tasks = ["translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"]
    times = [f"<|{number * 0.02:.2f}|>" for number in range(TIMESTAMPS)]
    special = ["<|endoftext|>", "<|startoftranscript|>", *languages]
    special += [*(f"<|{name}|>" for name in tasks), *times]
    words = [*letters, *fillers, ""]  # CTranslate2 knows a multilingual Whisper by its empty token
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))

    spec = ctranslate2.specs.WhisperSpec(1, 1, 1, 1)
    random = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return random.normal(0, 0.3, shape).astype(np.float32)

    def fill(part: object, rows: int, columns: int) -> None:
        part.weight, part.bias = weights(rows, columns), np.zeros(rows, np.float32)

    def attend(part: object, *linear: tuple[int, int]) -> None:
        norm(part.layer_norm)
        for target, shape in zip(part.linear, linear, strict=True):
            fill(target, *shape)

    def norm(part: object) -> None:
        part.gamma, part.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    one, two, three = (n * WIDTH for n in (1, 2, 3))
    for side, positions in ((spec.encoder, 1500), (spec.decoder, 448)):
        (layer,) = side.layer
        attend(layer.self_attention, (three, one), (one, one))
        norm(layer.ffn.layer_norm)
        fill(layer.ffn.linear_0, two, one)
        fill(layer.ffn.linear_1, one, two)
        norm(side.layer_norm)
        side.position_encodings.encodings = weights(positions, WIDTH)
    attend(spec.decoder.layer[0].attention, (one, one), (two, one), (one, one))
    for convolution, channels in ((spec.encoder.conv1, 80), (spec.encoder.conv2, WIDTH)):
        convolution.weight, convolution.bias = weights(WIDTH, channels, 3), weights(WIDTH)
    spec.decoder.embeddings.weight = weights(len(words) + len(special), WIDTH)
    # A random model hardly ever ends; one dimension of this one wants to.
    spec.decoder.layer_norm.beta[0] = 1
    spec.decoder.embeddings.weight[END_OF_TEXT] = np.eye(WIDTH)[0] * EAGER_TO_END
    spec.decoder.projection.weight = spec.decoder.embeddings.weight
    spec.decoder.scale_embeddings = False
    spec.register_vocabulary([*words, *special])
    spec.config.suppress_ids = [*range(len(letters), END_OF_TEXT)]
    spec.config.suppress_ids_begin = [END_OF_TEXT]
    first_language = END_OF_TEXT + 2
    spec.config.lang_ids = [*range(first_language, first_language + len(languages))]
    spec.config.alignment_heads = [[0, 0]]
    spec.validate()
    spec.save(str(folder))
    return folder


@contextmanager
def tiny_engine(folder: Path) -> Iterator[dict[str, str]]:
    """Give the settings with which the service uses a tiny model."""
    yield {"STT_MODEL": str(build_tiny(folder)), "STT_BEAM_SIZE": "1"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("whisper"))


@pytest.fixture
def engines(weights: Path, load_engines: LoadEngines) -> list[FasterWhisper]:
    changes = {"stt_model": weights, "stt_workers": 2, "stt_beam_size": 1}
    return load_engines("stt", "faster-whisper", **changes)


def test_workers_share_one_model(engines: list[FasterWhisper], weights: Path) -> None:
    # Given two workers, When loaded, Then the weights are in memory once
    first, second = engines
    assert first is second
    assert first.model_name == weights.name
    first.warm_up()


def test_both_at_once_hear_what_each_hears_alone(engines: list[FasterWhisper]) -> None:
    # Given four recordings, and what one worker hears in them
    loud = speech_samples()
    recordings = [(loud * volume).astype(np.float32) for volume in (0.3, 0.5, 0.8, 1.0)]

    def hear(engine: FasterWhisper) -> list[Transcript]:
        return [engine.transcribe(samples, OPTIONS) for samples in recordings]

    alone = hear(engines[0])
    # When two workers hear them at the same time
    with ThreadPoolExecutor(2) as threads:
        together = [*threads.map(hear, engines)]
    # Then the text and the measures are the same
    assert together == [alone, alone]
    assert any(transcript.segments for transcript in alone)


def test_segments_are_complete_and_lie_over_speech(engines: list[FasterWhisper]) -> None:
    # Given speech, with silence behind it
    samples = np.concatenate([speech_samples(), SILENCE, SILENCE])
    # When it is transcribed
    transcript = engines[0].transcribe(samples, OPTIONS)
    # Then every segment has Whisper's measures, and none begins in the silence
    assert transcript.language == "ko"
    assert transcript.seconds == len(samples) / SAMPLE_RATE
    assert transcript.segments
    for segment in transcript.segments:
        assert segment.start < len(speech_samples()) / SAMPLE_RATE
        assert segment.start <= segment.end
        assert segment.tokens
        assert segment.avg_logprob <= 0
        assert 0 <= segment.no_speech_prob <= 1


@pytest.mark.parametrize("language", ["ko", None])
def test_silence_is_no_text(engines: list[FasterWhisper], language: str | None) -> None:
    # Given silence, When transcribed, Then nothing is invented
    transcript = engines[0].transcribe(SILENCE, TranscribeOptions(language))
    assert (transcript.segments, transcript.text, transcript.seconds) == ((), "", 1.0)


@pytest.mark.parametrize("task", ["transcribe", "translate"])
def test_the_language_is_detected(engines: list[FasterWhisper], task: str) -> None:
    # Given no language, and words to expect
    options = TranscribeOptions(task=task, prompt="Kodex", temperature=0.0)  # type: ignore[arg-type]
    # When it is transcribed or translated, Then the model has found one
    assert engines[0].transcribe(speech_samples(), options).language in _LANGUAGE_CODES


def test_words_have_times(engines: list[FasterWhisper]) -> None:
    # Given speech, When words are wanted, Then they stand in their segments, in order
    transcript = engines[0].transcribe(speech_samples(), replace(OPTIONS, word_timestamps=True))
    words = [word for segment in transcript.segments for word in segment.words]
    assert words
    assert all(word.start <= word.end for word in words)


def test_missing_weights_are_told(load_engines: LoadEngines, tmp_path: Path) -> None:
    # Given a folder that is not there, When loaded, Then the message says which setting names it
    with pytest.raises(FileNotFoundError, match=r"STT_MODEL names .*nowhere"):
        load_engines("stt", "faster-whisper", stt_model=tmp_path / "nowhere")


def test_weights_are_found_in_the_models_folder(load_engines: LoadEngines, weights: Path) -> None:
    # Given the name of a folder among the models, When loaded, Then those weights are used
    changes = {"stt_model": weights.name, "models_dir": weights.parent, "stt_workers": 1}
    (engine,) = load_engines("stt", "faster-whisper", **changes)
    assert engine.model_name == weights.name
