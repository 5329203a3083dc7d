import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper, save

from app.ai.tts.base import SpeechOptions
from app.ai.tts.supertonic import Supertonic
from tests.conftest import LoadEngines

RATE, CHUNK = 24_000, 240
SECONDS_PER_LETTER = 0.05


def graph(inputs: list[str], *nodes: tuple[str, list[str], str], **values: float) -> ModelProto:
    """Return a model whose last node is its output; an input's type follows from its name."""
    typed = [
        helper.make_tensor_value_info(
            name, TensorProto.INT64 if name == "text_ids" else TensorProto.FLOAT, None
        )
        for name in inputs
    ]
    made = [helper.make_node(kind, sources, [result]) for kind, sources, result in nodes]
    output = helper.make_tensor_value_info(nodes[-1][2], TensorProto.FLOAT, None)
    constants = [
        numpy_helper.from_array(np.array(value, np.int64 if name == "axes" else np.float32), name)
        for name, value in values.items()
    ]
    return helper.make_model(
        helper.make_graph(made, "tiny", typed, [output], constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


def build_tiny(folder: Path) -> Path:
    """Write four graphs with the real ones' inputs: 50 ms a letter, of the noise they are given."""
    models, styles = folder / "onnx", folder / "voice_styles"
    models.mkdir()
    styles.mkdir()
    graphs = {
        "duration_predictor": graph(
            ["text_ids", "style_dp", "text_mask"],
            ("ReduceSum", ["text_mask", "axes"], "letters"),
            ("Mul", ["letters", "seconds"], "duration"),
            axes=[1, 2],
            seconds=SECONDS_PER_LETTER,
        ),
        "text_encoder": graph(
            ["text_ids", "style_ttl", "text_mask"], ("Identity", ["text_mask"], "text_emb")
        ),
        "vector_estimator": graph(
            [
                *("noisy_latent", "text_emb", "style_ttl", "text_mask", "latent_mask"),
                *("current_step", "total_step"),
            ],
            ("Mul", ["noisy_latent", "latent_mask"], "denoised"),
        ),
        "vocoder": graph(["latent"], ("Flatten", ["latent"], "wav")),
    }
    for name, model in graphs.items():
        save(model, models / f"{name}.onnx")
    autoencoder = {"sample_rate": RATE, "base_chunk_size": CHUNK}
    tts = {"ae": autoencoder, "ttl": {"chunk_compress_factor": 1, "latent_dim": CHUNK}}
    (models / "tts.json").write_text(json.dumps(tts))
    # Letters up to U+FFFF that are in the voice's alphabet: ASCII, and Hangul as jamo (NFKD).
    known = {*range(0x20, 0x7F), *range(0x1100, 0x1200)}
    indexer = [number if number in known else -1 for number in range(0x10000)]
    (models / "unicode_indexer.json").write_text(json.dumps(indexer))
    style = {"dims": [1, 2, 2], "data": [0.0] * 4}
    for voice in ("F1", "M1"):
        file = styles / f"{voice}.json"
        file.write_text(json.dumps({"style_ttl": style, "style_dp": style}))
    return folder


@contextmanager
def tiny_engine(folder: Path) -> Iterator[dict[str, str]]:
    """Give the settings with which the service uses tiny voices."""
    yield {"TTS_MODEL": str(build_tiny(folder)), "TTS_VOICE": "F1", "TTS_STEPS": "1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("supertonic"))


@pytest.fixture
def engine(folder: Path, load_engines: LoadEngines) -> Supertonic:
    engine, *others = load_engines(
        "tts", "supertonic", tts_model=folder, tts_workers=2, tts_steps=2, tts_threads=1
    )
    assert others == [engine]
    assert isinstance(engine, Supertonic)
    return engine


def seconds(engine: Supertonic, text: str, language: str | None = "ko", speed: float = 1) -> float:
    return engine.speak(text, SpeechOptions("F1", speed, language)).seconds


def test_it_has_the_voices_of_its_folder(engine: Supertonic, folder: Path) -> None:
    # Given a folder with two voices, When loaded, Then the engine has them and its name
    engine.warm_up()
    assert engine.voices == ("F1", "M1")
    assert engine.model_name == folder.name


def test_korean_and_english_become_sound(engine: Supertonic) -> None:
    # Given a text, When spoken, Then it is as long as its letters
    sound = engine.speak("안녕하세요. Hello.", SpeechOptions("M1", language="ko"))
    assert sound.sample_rate == RATE
    assert sound.samples.dtype == np.float32
    assert sound.samples.ndim == 1
    assert sound.seconds > 10 * SECONDS_PER_LETTER


@pytest.mark.parametrize(("speed", "used"), [(2.0, 2.0), (4.0, 2.0), (0.25, 0.7)])
def test_the_speed_stays_within_the_models_range(
    engine: Supertonic, speed: float, used: float
) -> None:
    # Given a speed, perhaps one that the model refuses, When used, Then the nearest it takes
    assert seconds(engine, "안녕", speed=speed) == pytest.approx(
        seconds(engine, "안녕") / used, abs=2 * CHUNK / RATE
    )


@pytest.mark.parametrize("language", ["xx", None])
def test_a_language_it_has_not_is_unknown_to_it(engine: Supertonic, language: str | None) -> None:
    # Given a language that the model was not made for, When spoken, Then it speaks all the same
    assert seconds(engine, "Hello.", language) == seconds(engine, "Hello.", "en")


def test_letters_without_a_sound_are_left_out(engine: Supertonic) -> None:
    # Given letters that the voice's alphabet has not, When spoken, Then the rest is heard
    assert seconds(engine, "안녕漢字.") == seconds(engine, "안녕.")


def test_missing_weights_are_told(load_engines: LoadEngines, tmp_path: Path) -> None:
    # Given an empty folder, When loaded, Then it is named, and nothing is fetched
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        load_engines("tts", "supertonic", tts_model=tmp_path)


@pytest.mark.parametrize("name", ["./nowhere", "supertonic-0"])
def test_a_name_without_weights_is_told(load_engines: LoadEngines, name: str) -> None:
    # Given a path or a name without weights, When loaded, Then the message says which setting it is
    with pytest.raises(FileNotFoundError, match=f"TTS_MODEL names {name}"):
        load_engines("tts", "supertonic", tts_model=name)


def test_weights_are_found_in_the_models_folder(load_engines: LoadEngines, folder: Path) -> None:
    # Given the name of a folder among the models, When loaded, Then those weights are used
    engine, *_ = load_engines(
        "tts", "supertonic", tts_model=folder.name, models_dir=folder.parent, tts_steps=1
    )
    assert engine.voices == ("F1", "M1")
