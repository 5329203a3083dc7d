"""Both images, built and asked a spoken question."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.containers.conftest import CANARY, MOUNTED, Build, Image, layer_ids
from tests.containers.engine import APPUSER, Container, EngineError, docker, running, volumes
from tests.containers.layers import File, files, holding, layers, problems

QUESTION = ROOT / "tests" / "data" / "question.wav"
# Base (one layer or more) apart, the last stage is: ffmpeg, user, torch, other packages, source.
LAYERS_ABOVE_TORCH = 6
GPU = "gpu_image, with torch's CPU wheel"


@dataclass(frozen=True)
class Running:
    """An image, and a hardened container of it."""

    image: Image
    container: Container


@pytest.fixture(scope="module", params=["cpu_image", GPU])
def image(request: pytest.FixtureRequest) -> Image:
    found: Image = request.getfixturevalue(request.param.partition(",")[0])
    return found


@pytest.fixture(scope="module")
def service(image: Image, weights: Path) -> Iterator[Running]:
    """Return a running container as compose.yaml would start it, weights mounted, ready."""
    settings = image.settings | {"DEVICE": "cpu"}
    options = f"--volume={weights}:{MOUNTED}:ro"
    with (
        volumes("/srv/models", "/srv/data", "/srv/static/tts") as kept,
        running(image.name, options, *kept.options(), settings=settings) as container,
    ):
        container.until_ready()
        yield Running(image, container)


@pytest.fixture(scope="module")
def scanned(image: Image, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the layers of an image."""
    return layers(image.name, tmp_path_factory.mktemp("layers"))


def test_a_spoken_question_is_answered_aloud(service: Running) -> None:
    # Given a container of the image, its root file system read-only
    container = service.container
    # When it is asked by voice
    files = {"file": ("question.wav", QUESTION.read_bytes())}
    answer = container.post("/api/voice-chat", files=files)
    # Then it has understood, it knows, and what it says can be fetched
    assert answer.status_code == 200, answer.text
    assert "capital of France" in answer.json()["query"]
    assert "Paris" in answer.json()["answer"]
    assert container.get(answer.json()["tts_url"]).content.startswith(b"RIFF")


def test_it_runs_as_appuser_with_no_rights_at_all(service: Running) -> None:
    # Given the first process of the container, as the kernel sees it
    pid = service.container.state["Pid"]
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if ":\t" in line
    )
    # When its rights are read
    # Then it is not root, and can never become so
    assert set(status["Uid"].split()) == {str(APPUSER)}
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"
    assert service.container.exec("id", "-un") == "appuser"
    # And it is the service itself, that signals reach
    assert Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:2] == [b"python", b"main.py"]


@pytest.mark.parametrize("folder", ["/srv", "/srv/app", "/opt/venv", "/etc"])
def test_the_image_cannot_be_written(service: Running, folder: str) -> None:
    # Given a hardened container, When even root tries to change it, Then it cannot
    with pytest.raises(EngineError, match="Read-only file system"):
        docker("exec", "--user=0", service.container.id, "touch", f"{folder}/changed")


def test_python_and_ffmpeg_are_those_of_the_guideline(service: Running) -> None:
    # Given the container, When its programs are asked, Then Python is a released 3.11
    version = service.container.exec("python", "-c", "import sys; print(*sys.version_info[:4])")
    assert re.fullmatch(r"3 11 \d+ final", version)
    # And ffmpeg is there, and nothing that compiles
    assert "ffmpeg version" in service.container.exec("ffmpeg", "-version")
    with pytest.raises(EngineError, match=r"not found|no such file"):
        service.container.exec("gcc", "--version")


def test_docker_sees_that_it_is_healthy(service: Running) -> None:
    # Given a service that has answered, When the engine asks, Then it is healthy
    service.container.until(lambda: service.container.health == "healthy", "healthy")


def test_the_labels_say_what_it_is(image: Image) -> None:
    # Given an image, When its labels are read
    config = json.loads(docker("inspect", image.name))[0]["Config"]
    guideline = json.loads((ROOT / "cookiecutter.json").read_text())["_guideline_version"]
    labels = config["Labels"]
    # Then version, revision, source and guideline are there
    assert labels["org.opencontainers.image.version"] == "test"
    assert labels["org.opencontainers.image.title"] == image.project.name
    assert labels["io.kodex.guideline.version"] == guideline
    # And it starts without a shell, as a fixed user
    assert (config["Cmd"], config["User"]) == (["python", "main.py"], f"{APPUSER}:{APPUSER}")


def test_the_labels_name_commit_and_address_without_its_password(
    light_image: Image, build: Build, tmp_path: Path
) -> None:
    # Given a repository whose remote holds a token
    project = tmp_path / light_image.project.name
    shutil.copytree(light_image.project, project)
    for command in (
        "init --quiet",
        "remote add origin https://me:token@git.example/team/voice.git",
        "add main.py",
        "-c user.name=a -c user.email=a@b commit --quiet -m one",
    ):
        subprocess.run(["git", *command.split()], cwd=project, check=True)
    head = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(head, cwd=project, check=True, capture_output=True, text=True).stdout
    # When its image is built
    labels = json.loads(docker("inspect", build(project, "cpu")))[0]["Config"]["Labels"]
    # Then commit and address are there, and the token is not
    assert labels["org.opencontainers.image.revision"] == commit.strip()
    assert labels["org.opencontainers.image.source"] == "https://git.example/team/voice.git"


def test_no_layer_holds_weights_compilers_caches_or_secrets(scanned: list[Path]) -> None:
    # Given the layers of the image, When each file is looked at, Then none is out of place
    assert problems(list(files(scanned)), cuda=False) == []


def test_no_layer_holds_a_secret_of_the_project(image: Image, scanned: list[Path]) -> None:
    # Given a project whose .env has a secret
    assert CANARY in (image.project / ".env").read_text()
    # When the files of its layers, its history and its configuration are searched
    # Then it is nowhere
    assert holding(scanned, CANARY) == []
    assert CANARY not in docker("history", "--no-trunc", image.name)
    assert CANARY not in docker("inspect", image.name)


def test_weights_in_an_image_are_found(light_image: Image, tmp_path: Path) -> None:
    # Given an image into which somebody has put weights, a key and a compiler
    dockerfile = f"FROM {light_image.name}\nUSER root\nCOPY . /srv/\n"
    for name in ("Dockerfile", "models/whisper.pt", ".env", "bin/gcc", "huge"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(dockerfile)
    with (tmp_path / "huge").open("ab") as huge:
        huge.truncate(60_000_000)
    docker("build", "--quiet", "--tag", "kodex-test/bad", ".", cwd=tmp_path)
    # When it is scanned
    (tmp_path / "layers").mkdir()
    bad = layers("kodex-test/bad", tmp_path / "layers")
    found = problems(list(files(bad)), cuda=False)
    docker("rmi", "kodex-test/bad")
    # Then each is told, and a text in one of them is found
    assert "srv/.env" in holding(bad, dockerfile)
    assert sorted(line.partition(":")[0] for line in found) == [
        "compiler",
        "large",
        "secret",
        "weights",
    ]


def test_a_change_of_source_makes_the_last_layer_anew(
    image: Image, request: pytest.FixtureRequest
) -> None:
    # Given an image, and its source changed in one file
    build = request.getfixturevalue("build")
    device = "gpu" if "gpu" in image.project.name else "cpu"
    cpu_torch = "--build-arg TORCH_REQUIREMENTS=requirements-torch-cpu.txt"
    before = layer_ids(image.name)
    file = image.project / "app" / "utils" / "text.py"
    source = file.read_text("utf-8")
    try:
        file.write_text(f"{source}\n# changed\n", "utf-8")
        # When the image is built again
        build(image.project, device, *([cpu_torch] if device == "gpu" else []))
        after = layer_ids(image.name)
    finally:
        file.write_text(source, "utf-8")
        build(image.project, device, *([cpu_torch] if device == "gpu" else []))
    # Then all layers but the last, that of app/, are the same
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1]


def test_another_package_leaves_the_layer_of_torch_as_it_was(
    cpu_image: Image, build: Build, tmp_path: Path
) -> None:
    # Given a project that has torch, and a copy that needs a package less
    project = tmp_path / cpu_image.project.name
    shutil.copytree(cpu_image.project, project)
    file = project / "requirements.txt"
    requirements = re.split(r"^(?=[a-z])", file.read_text("utf-8"), flags=re.MULTILINE)
    file.write_text("".join(r for r in requirements if not r.startswith("tqdm==")), "utf-8")
    before = layer_ids(cpu_image.name)
    try:
        # When the copy is built
        after = layer_ids(build(project, "cpu"))
    finally:
        build(cpu_image.project, "cpu")
    # Then the layer of the other packages is another, and those below, torch's too, are the same
    kept = [old == new for old, new in zip(before, after, strict=True)]
    assert not all(kept)
    assert all(kept[:-LAYERS_ABOVE_TORCH])


def test_the_build_context_is_lean(image: Image, tmp_path: Path) -> None:
    # Given a project that has been worked on: caches, data, speech, weights, environments, history
    worked_on = [
        ".git/config", ".env", "app/.env", ".env.production", "data/index.db", "models/a.pt",
        "static/tts/a.wav", "tests/a.py", ".venv/bin/python", "venv/bin/python",
        "app/__pycache__/a.pyc", ".pytest_cache/a", "app/core/.mypy_cache/a", "service.log",
        ".ruff_cache/a", ".envrc", "key.pem", "htmlcov/index.html", "requirements-dev.txt",
    ]  # fmt: skip
    project = tmp_path / "project"
    subprocess.run(["cp", "-r", str(image.project), str(project)], check=True)
    for name in worked_on:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("x")
    # When all that reaches the builder is written out
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM scratch\nCOPY . /\n")
    out = tmp_path / "context"
    options = ["--file", str(dockerfile), "--output", str(out), "--quiet"]
    docker("build", *options, ".", cwd=project)
    sent = sorted(str(file.relative_to(out)) for file in out.rglob("*") if file.is_file())
    # Then none of that is there, and what the image needs is
    assert not set(sent) & set(worked_on)
    assert {name.partition("/")[0] for name in sent} - {"requirements-torch-cpu.txt"} == {
        "app", "main.py", "requirements-torch.txt", "requirements.txt", "settings.toml", "static",
        "templates",
    }  # fmt: skip


def test_the_bases_are_those_of_the_guideline(image: Image) -> None:
    # Given a Dockerfile, When its bases are read
    text = (image.project / "Dockerfile").read_text("utf-8")
    base = re.findall(r"^ARG BASE_IMAGE=(\S+)$", text, re.MULTILINE)
    stages = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    # Then they are those that section 4 names, in every stage
    pattern = (
        r"nvidia/cuda:12\.\d+\.\d+-base-ubuntu22\.04"
        if "gpu" in image.name
        else r"python:3\.11-slim"
    )
    assert [bool(re.fullmatch(pattern, name)) for name in base] == [True]
    assert stages == ["scratch", "${BASE_IMAGE}", "${BASE_IMAGE}"]


def test_torch_has_a_layer_of_its_own(image: Image, scanned: list[Path]) -> None:
    # Given the layers of an image that has torch
    requirements = (image.project / "requirements.txt").read_text("utf-8")
    found: dict[str, set[int]] = {}
    for file in files(scanned):
        for package in ("torch", "transformers"):
            if f"/site-packages/{package}/" in file.path:
                found.setdefault(package, set()).add(file.layer)
    # When the layers of torch and of the packages that change more often are compared
    # Then torch is in one, below that of the others
    assert "transformers==" in requirements
    ((torch,), (transformers,)) = found["torch"], found["transformers"]
    assert torch < transformers


@pytest.mark.parametrize(
    "path",
    [
        "root/.cache/pip/http/a",
        "var/lib/apt/lists/debian_Packages.lz4",
        "usr/bin/x86_64-linux-gnu-gcc-12",
        "opt/venv/lib/python3.11/site-packages/triton/_C/libtriton.so",
        "opt/venv/lib/python3.11/site-packages/nvidia/cublas/lib/libcublas.so.12",
    ],
)
def test_the_scan_of_a_cpu_image_refuses(path: str) -> None:
    # Given a large file that has no place in a CPU image, When judged, Then it is refused
    assert problems([File(0, path, 900_000_000)], cuda=False)


def test_the_gpu_image_has_the_uv_that_is_locked(gpu_image: Image) -> None:
    # Given the Dockerfile of the GPU, which brings its own uv
    text = (gpu_image.project / "Dockerfile").read_text("utf-8")
    lock = (gpu_image.project / "requirements-dev.txt").read_text("utf-8")
    # When its version is compared with the one that is locked, Then it is the same
    (version,) = re.findall(r"^ARG UV_VERSION=(\S+)$", text, re.MULTILINE)
    assert f"\nuv=={version} " in lock
