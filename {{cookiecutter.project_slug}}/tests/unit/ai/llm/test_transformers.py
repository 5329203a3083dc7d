from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import ascii_lowercase

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from app.ai.llm.base import ChatEnd, ChatMessage, ChatOptions
from app.ai.llm.transformers import TransformersChat, number_format
from app.core.errors import ErrorCode, ServiceError
from tests.conftest import LoadEngines

END, START = "<|im_end|>", "<|im_start|>"
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONTEXT = 128
QUESTION = [ChatMessage("system", "짧게."), ChatMessage("user", "안녕?")]


def build_tiny(folder: Path, template: str = TEMPLATE) -> Path:
    """Write a Llama of random weights, with a chat template and tokens that are mostly words."""
    space, *_ = pre_tokenizers.ByteLevel().pre_tokenize_str(" ")[0][0]
    merges = [(space, letter) for letter in ascii_lowercase]
    merges += [(space + one, other) for one in ascii_lowercase for other in ascii_lowercase]
    tokens = [END, START, *sorted(pre_tokenizers.ByteLevel.alphabet()), *map("".join, merges)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    words = Tokenizer(models.BPE(vocabulary, merges))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token=END, additional_special_tokens=[START]
    )
    tokenizer.chat_template = template
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@contextmanager
def tiny_engine(folder: Path) -> Iterator[dict[str, str]]:
    """Give the settings with which the service uses a tiny model."""
    yield {"LLM_MODEL": str(build_tiny(folder)), "LLM_MAX_TOKENS": "16"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def engine(weights: Path, load_engines: LoadEngines) -> TransformersChat:
    changes = {"llm_context_tokens": CONTEXT, "llm_threads": 1}
    engine: TransformersChat = load_engines("llm", "transformers", llm_model=weights, **changes)[0]
    return engine


def answer(
    engine: TransformersChat, max_tokens: int = 16, stop: tuple[str, ...] = ()
) -> tuple[str, ChatEnd]:
    """Return a greedy answer, which is the same each time."""
    pieces: list[str] = []
    options = ChatOptions(max_tokens, temperature=0, stop=stop)
    end = engine.chat(QUESTION, options, pieces.append)
    return "".join(pieces), end


def test_workers_share_one_model(weights: Path, load_engines: LoadEngines) -> None:
    # Given three workers, When loaded, Then the weights are in memory once
    engines = load_engines("llm", "transformers", llm_model=weights, llm_workers=3)
    assert len(engines) == 3
    assert len({id(engine) for engine in engines}) == 1


def test_an_answer_is_cut_at_max_tokens(engine: TransformersChat) -> None:
    # Given a model that babbles
    engine.warm_up()
    text, end = answer(engine, max_tokens=7)
    # When it has written as much as it may, Then it says that it was cut
    assert (end.finish_reason, end.completion_tokens) == ("length", 7)
    assert end.prompt_tokens > len("짧게.안녕?".encode())
    assert text
    assert START not in text


def test_a_model_that_has_done_says_so(
    engine: TransformersChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a model for which every token ends the answer
    monkeypatch.setattr(engine._model.generation_config, "eos_token_id", [*range(960)])
    # When it answers, Then it has stopped by itself
    assert answer(engine)[1].finish_reason == "stop"


@pytest.mark.parametrize("length", [1, 4, 8])
def test_a_stop_text_never_leaks(engine: TransformersChat, length: int) -> None:
    # Given a text that the answer has in it, over one token or several
    whole, _ = answer(engine)
    stop = whole[9 : 9 + length]
    expected = whole[: whole.index(stop)]
    # When the answer is to stop there
    text, end = answer(engine, stop=("never written", stop))
    # Then it ends before it, without any part of it
    assert text == expected
    assert end.finish_reason == "stop"
    assert end.completion_tokens < 16


def test_what_is_held_back_for_a_stop_text_comes_in_the_end(engine: TransformersChat) -> None:
    # Given a stop text that never comes, When the answer ends, Then nothing of it is missing
    assert answer(engine, stop=("x" * 40,))[0] == answer(engine)[0]


def test_a_seed_makes_chance_repeatable(engine: TransformersChat) -> None:
    # Given sampling
    def sampled(seed: int) -> str:
        pieces: list[str] = []
        engine.chat(QUESTION, ChatOptions(16, temperature=1.5, seed=seed), pieces.append)
        return "".join(pieces)

    # When it is done with a seed, Then it decides the text
    assert sampled(1) == sampled(1) != sampled(2)


def test_a_reader_that_leaves_stops_the_model(engine: TransformersChat) -> None:
    # Given a reader who leaves at the first piece
    class GoneError(Exception):
        pass

    pieces = []

    def leave(text: str) -> None:
        pieces.append(text)
        raise GoneError

    # When the model answers, Then it stops there, and can answer the next
    with pytest.raises(GoneError):
        engine.chat(QUESTION, ChatOptions(64, temperature=0), leave)
    assert len(pieces) == 1
    assert answer(engine)[0]


def test_a_conversation_without_room_is_refused(engine: TransformersChat) -> None:
    # Given a conversation longer than the context
    long = [ChatMessage("user", "x" * CONTEXT)]
    with pytest.raises(ServiceError) as refused:
        engine.chat(long, ChatOptions(16, temperature=0), lambda _: None)
    # When it is asked, Then the caller learns why
    assert refused.value.code is ErrorCode.CONTEXT_TOO_LONG
    assert str(CONTEXT) in refused.value.message("ko")


def test_prompt_and_answer_stay_within_the_context(engine: TransformersChat) -> None:
    # Given more tokens wanted than there is room for
    _, end = answer(engine, max_tokens=10 * CONTEXT)
    # When the answer ends, Then both together fill the context
    assert end.prompt_tokens + end.completion_tokens <= CONTEXT


def test_missing_weights_are_told(load_engines: LoadEngines, tmp_path: Path) -> None:
    # Given a folder that is not there, When loaded, Then the message says which setting names it
    with pytest.raises(FileNotFoundError, match=r"LLM_MODEL names .*nowhere"):
        load_engines("llm", "transformers", llm_model=tmp_path / "nowhere")


def test_weights_are_found_in_the_models_folder(load_engines: LoadEngines, weights: Path) -> None:
    # Given the name of a folder among the models, When loaded, Then those weights are used
    changes = {"llm_model": weights.name, "models_dir": weights.parent}
    (engine,) = load_engines("llm", "transformers", **changes)
    assert engine.model_name == weights.name


def test_a_model_that_cannot_chat_is_told(load_engines: LoadEngines, tmp_path: Path) -> None:
    # Given a base model, without a chat template, When loaded, Then the message says so
    with pytest.raises(ValueError, match="no chat template"):
        load_engines("llm", "transformers", llm_model=build_tiny(tmp_path, template=""))


@pytest.mark.parametrize(
    ("wanted", "device", "knows_bfloat16", "expected"),
    [
        ("auto", "cpu", False, "auto"),
        ("auto", "cuda", True, torch.bfloat16),
        ("auto", "cuda", False, torch.float16),
        ("float32", "cuda", True, "float32"),
    ],
)
def test_a_gpu_computes_in_half_precision_unless_told_otherwise(
    wanted: str,
    device: str,
    knows_bfloat16: bool,
    expected: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a GPU of a newer or an older kind
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: knows_bfloat16)
    # When the format is chosen, Then it is one of its own, and the setting wins
    assert number_format(wanted, device) == expected
