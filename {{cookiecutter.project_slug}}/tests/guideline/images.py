"""What goes into an image: packages, users, files, weights."""

import posixpath
import re
from collections.abc import Iterator

from tests.guideline import dockerfile, ignores, shell
from tests.guideline.dockerfile import Instruction, expand
from tests.guideline.project import Build, Project
from tests.guideline.shell import Command

INSTALLERS = {
    "apt-get", "apt", "aptitude", "apk", "dnf", "microdnf", "yum", "zypper", "conda", "mamba",
    "micromamba", "apt-fast",
}  # fmt: skip
ADDING, REMOVING = {"install", "add"}, {"remove", "purge", "del", "autoremove", "erase"}
BUILD_TOOLS = re.compile(
    r"build-essential|(?:lib)?(?:gcc|g\+\+|clang|cpp|gfortran|llvm)(?:-\d+)?(?:-dev)?|make|cmake|automake"
    r"|autoconf|ninja-build|pkg-config|cargo|rustc|rustup|golang(?:-go)?|build-base|python3(?:\.\d+)?-dev"
    r"|libc6-dev|linux-headers[\w.-]*|cuda-(?:nvcc|toolkit|compiler)[\w.-]*|nvidia-cuda-toolkit|base-devel"
)
# Folders that a stage's compiler would come along with.
WHOLE_SYSTEM = {"/", "/usr", "/usr/bin", "/usr/lib", "/usr/local", "/bin"}
WHOLE_SYSTEM_OF_PYTHON = "/usr/local"  # where python's own images have Python, and no compiler
WEIGHTS_FILE = re.compile(
    r"(?i).*\.(?:safetensors|gguf|ggml|pt|pth|ckpt|onnx|h5|tflite|nemo|mlmodel|pb)(?:$|[?#])"
    r"|(?:.*/)?(?:pytorch_)?model[\w.-]*\.bin(?:$|[?#])"
)
FOLDER = r"(?:models?|weights|checkpoints|hf[_-]?cache|huggingface)"
WEIGHTS_FOLDER = re.compile(rf"(?i)\.?/?{FOLDER}(?:/.*)?")
WITHIN_WEIGHTS_FOLDER = re.compile(rf"(?i)(?:.*/)?{FOLDER}(?:/.*)?")
HUB = re.compile(
    r"(?i)huggingface\.co|hf\.co/|hf-mirror|openaipublic|modelscope\.(?:cn|com)|civitai|ollama\.com"
    r"|/resolve/|cdn-lfs|tfhub\.dev|download\.pytorch\.org/models"
)
LOADING = re.compile(
    r"snapshot_download|hf_hub_download|cached_download|load_model\s*\(|from_pretrained\s*\(|WhisperModel\s*\("
    r"|SentenceTransformer\s*\(|CrossEncoder\s*\(|torch\.hub\.|download_model|transformers[^\n;]*pipeline\s*\("
    r"|\bhub\.load\s*\(|whisper\s+--model|load_silero_vad\s*\("
)
# Programs that fetch, and the words that say they fetch weights.
FETCHING = {
    "huggingface-cli": r"\bdownload\b",
    "hf": r"\bdownload\b",
    "modelscope": r"\bdownload\b",
    "ollama": r"\bpull\b",
    "spacy": r"\bdownload\b",
    "git": r"lfs\b|huggingface\.co|hf\.co",
    "aws": r"\bs3\b.*(?:model|weight|safetensors|gguf|checkpoint)",
    "gsutil": r"model|weight|safetensors|gguf|checkpoint",
    "gcloud": r"\bstorage\b.*(?:model|weight|safetensors|gguf|checkpoint)",
    "rclone": r"model|weight|safetensors|gguf|checkpoint",
    "azcopy": r"model|weight|safetensors|gguf|checkpoint",
}
LOADERS = {"curl", "wget", "aria2c", "axel", "http", "python", "python3"}


def run_commands(
    project: Project, build: Build, *stages: dockerfile.Stage
) -> Iterator[tuple[Instruction, list[Command]]]:
    """Yield each RUN of stages with its commands and those of the scripts that it runs."""
    for instruction, variables in build.instructions(*stages):
        if instruction.keyword == "RUN":
            # A failure in the middle of a RUN is taken as one: only `|| true` makes it none.
            found = shell.commands(
                instruction.script, line=instruction.script_line, file=build.file, errexit=True
            )
            found = project.resolved(found, build.context, variables)
            yield instruction, [*found, *_of_copied_scripts(project, found)]


def _of_copied_scripts(project: Project, commands: list[Command]) -> Iterator[Command]:
    """Yield the commands of scripts that lie elsewhere in the image than in the project."""
    known = {command.file for command in commands}
    for command in commands:
        words = [word for word in command.core if not word.startswith("-")][:2]
        for file in project.scripts:
            if file not in known and any(
                posixpath.basename(file) == posixpath.basename(word)
                for word in words
                if "/" in word
            ):
                yield from shell.commands(project.text(file), file=file, errexit=True)


def installed_by(command: Command) -> set[str]:
    """Return the names of the system packages that a command installs."""
    return _packages(command, ADDING)


def removed_by(command: Command) -> set[str]:
    """Return the names of the system packages that a command removes."""
    return _packages(command, REMOVING)


def _packages(command: Command, actions: set[str]) -> set[str]:
    if command.program not in INSTALLERS or not command.fatal:
        return set()
    words = [word for word in command.arguments if not word.startswith("-")]
    if not actions & set(words[:3]):
        return set()
    start = next(at for at, word in enumerate(words) if word in actions)
    return {re.split(r"[=:/<>~]", word)[0] for word in words[start + 1 :]}


def kept_packages(project: Project, build: Build) -> dict[str, Instruction]:
    """Return the packages of an image, each with the RUN that installs it."""
    kept: dict[str, Instruction] = {}
    for instruction, commands in run_commands(project, build, *build.stages):
        for command in commands:
            kept |= dict.fromkeys(installed_by(command), instruction)
            for name in removed_by(command):
                # What a former RUN has installed stays in its layer, but is of no use any more.
                kept.pop(name, None)
    return kept


def layered_packages(project: Project, build: Build) -> dict[str, Instruction]:
    """Return the packages that are in any layer of an image, even when a later RUN removes them."""
    kept: dict[str, Instruction] = {}
    for instruction, commands in run_commands(project, build, *build.stages):
        added: set[str] = set()
        for command in commands:
            added |= installed_by(command)
            added -= removed_by(command)
        kept |= dict.fromkeys(added, instruction)
    return kept


def base_image(build: Build) -> tuple[str, int]:
    """Return what an image is built on in the end, and the line of that FROM."""
    first = build.stages[0]
    return build.dockerfile.base_of(first, build.arguments), first.line


def last_user(build: Build) -> tuple[str, int]:
    """Return whom a container runs as, and the line that says so; empty where nothing does."""
    user, line = "", build.final.line
    for instruction, variables in build.instructions(*build.stages):
        if instruction.keyword == "USER":
            user = expand(instruction.value.strip().strip("\"'"), variables)
            line = instruction.line if instruction in build.final.instructions else line
    return user.split(":")[0], line


def accounts(project: Project, build: Build) -> dict[str, str]:
    """Return the accounts that an image makes, with their uids where they are given."""
    found: dict[str, str] = {}
    for _, commands in run_commands(project, build, *build.stages):
        for command in commands:
            if command.program in {"useradd", "adduser"} and command.arguments:
                words = [word for word in command.arguments if "=" not in word]
                name = "appuser" if "appuser" in words else words[-1]
                found[name] = command.option("--uid", "-u") or ""
            elif command.program in {"echo", "printf"} and "/etc/passwd" in command.redirected:
                match = re.search(r"([\w-]+):x?:(\d+)", command.text)
                found |= {match[1]: match[2]} if match else {}
    for instruction, variables in build.instructions(*build.stages):
        if (
            instruction.keyword == "COPY"
            and "/etc/passwd" in dockerfile.copied(instruction, variables)[0]
        ):
            found.setdefault("appuser", "")
    return found


def copied_weights(project: Project, build: Build) -> Iterator[tuple[int, str]]:
    """Yield (line, what) for each COPY and ADD that brings weights into the image."""
    context = project.root / build.context
    own = posixpath.relpath(build.file, build.context or ".")
    prefix = "" if build.context in {"", "."} else build.context + "/"
    present = [
        file.removeprefix(prefix)
        for file in project.files
        if file.startswith(prefix) and WEIGHTS_FILE.fullmatch(file)
    ]
    probes = ["models/some-model/model.safetensors", "model.safetensors", *present]
    sent = [file for file in probes if not ignores.docker_ignores(context, file, own)]
    for instruction, variables in build.instructions(
        *build.dockerfile.reaching(build.final, build.arguments)
    ):
        if instruction.keyword not in {"COPY", "ADD"}:
            continue
        sources, target = dockerfile.copied(instruction, variables)
        origin = expand(instruction.flag("from"), variables)
        of_weights = any(map(WITHIN_WEIGHTS_FOLDER.fullmatch, [*sources, target]))
        if of_weights and _is_foreign(build, origin):
            yield instruction.line, origin
            continue
        for source in sources:
            named = WEIGHTS_FILE.fullmatch(source) or WEIGHTS_FOLDER.fullmatch(source)
            if instruction.flag("from"):
                if WEIGHTS_FILE.fullmatch(source):
                    yield instruction.line, source
            elif re.match(r"[a-z]+://|git@", source):
                if WEIGHTS_FILE.fullmatch(source) or HUB.search(source):
                    yield instruction.line, source
            elif named or any(_takes(source, file) for file in sent):
                yield instruction.line, source


def _is_foreign(build: Build, name: str) -> bool:
    """Tell whether COPY takes from an image, be it under a stage's name, and from no build."""
    stage = build.dockerfile.stage(name) if name else None
    chain = build.dockerfile.chain(stage, build.arguments) if stage else []
    filling = {"RUN", "COPY", "ADD"}
    made = any(one.keyword in filling for each in chain for one in each.instructions)
    return bool(name) and not made


def _takes(source: str, file: str) -> bool:
    """Tell whether a source of COPY brings a file of the context."""
    plain = posixpath.normpath(source.lstrip("/") or ".")
    if plain == ".":
        return True
    if any(char in plain for char in "*?["):
        head = "/".join(file.split("/")[: plain.count("/") + 1])
        return bool(
            re.fullmatch(plain.replace(".", r"\.").replace("*", "[^/]*").replace("?", "[^/]"), head)
        )
    return file == plain or file.startswith(plain + "/")


def fetched_weights(project: Project, build: Build) -> Iterator[tuple[str, int, str]]:
    """Yield (file, line, what) for each command of a build that downloads weights."""
    reaching = build.dockerfile.reaching(build.final, build.arguments)
    for instruction, commands in run_commands(project, build, *reaching):
        if match := LOADING.search(instruction.script):
            yield build.file, instruction.line, match[0].strip("( ")
            continue
        for command in commands:
            text = " ".join((*command.core, command.input))
            fetching = FETCHING.get(command.program)
            loads = command.program in LOADERS and (
                HUB.search(text) or any(WEIGHTS_FILE.fullmatch(word) for word in command.arguments)
            )
            if (fetching and re.search(fetching, text)) or loads or LOADING.search(text):
                yield build.file, instruction.line, " ".join(command.core[:4])
            elif found := _loading(project, _program(project, command)):
                yield build.file, instruction.line, found


def _loading(project: Project, program: str) -> str:
    """Return what in a program of the project fetches weights, empty where nothing does."""
    text = project.text(program) if program else ""
    match = LOADING.search(text) or HUB.search(text)
    return f"{match[0].strip('( ')} of {program}" if match else ""


def _program(project: Project, command: Command) -> str:
    """Return the project's Python program that a command runs."""
    if command.program.startswith("python"):
        names = [word for word in command.arguments if word.endswith(".py")][:1]
    elif command.core != command.words and "-m" in command.words:
        names = [command.core[0].replace(".", "/") + ".py"]
    else:
        names = [command.core[0]] if command.core and command.core[0].endswith(".py") else []
    for name in names:
        plain = posixpath.normpath(name).lstrip("/")
        for file in project.python_files:
            if file == plain or posixpath.basename(file) == posixpath.basename(plain):
                return file
    return ""
