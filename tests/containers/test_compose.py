"""compose.yaml, as `make up` runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import yaml

from tests.conftest import Answers, Render, name_of, product_of
from tests.containers.conftest import BASES, STAND_INS, Image
from tests.containers.engine import PATIENCE, Container, docker
from tools.environments import pip_setting


@pytest.fixture
def up(project: Path) -> Iterator[Container]:
    """Return the container that `make up` has started."""
    flags = f"--build-arg BASE_IMAGE={STAND_INS['cpu']}" if BASES == "stand-in" else ""
    environment = {
        **os.environ,
        "BUILD_FLAGS": flags,
        "VERSION": "test",
        "PIP_FIND_LINKS": pip_setting("find-links"),
    }
    try:
        subprocess.run(["make", "up"], cwd=project, check=True, env=environment)
        (made,) = docker("compose", "ps", "--quiet", cwd=project).split()
        yield Container(made)
    finally:
        docker("compose", "down", "--volumes", cwd=project)


def test_make_up_gives_a_service_that_hears(up: Container, project: Path) -> None:
    # Given what `make up` has started, and waited for
    assert up.health == "healthy"
    up.until_ready()
    # When the port of .env is called from this machine
    port = dict(line.split("=", 1) for line in (project / ".env").read_text().split())["PORT"]
    assert up.url == f"http://127.0.0.1:{port}"
    recording = (project / "tests" / "data" / "speech.wav").read_bytes()
    answer = up.post(
        "/v1/audio/transcriptions",
        files={"file": ("a.wav", recording)},
        data={"model": "whisper-1"},
    )
    # Then it has heard, with the weights of the folder that .env names
    assert "can you hear me" in answer.json()["text"].lower()


def test_it_is_hardened_and_limited(up: Container) -> None:
    # Given a container that compose has started, When the engine is asked, Then it is tied down
    host = up.inspect()["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert (host["RestartPolicy"]["Name"], host["RestartPolicy"]["MaximumRetryCount"]) == (
        "on-failure",
        3,
    )
    # And what must last is on volumes
    mounted = {mount["Destination"]: mount["Type"] for mount in up.inspect()["Mounts"]}
    assert mounted["/srv/data"] == mounted["/srv/static/tts"] == "volume"
    assert "/srv/models" in mounted


def test_a_port_of_this_machine_that_is_taken_is_told(up: Container, project: Path) -> None:
    # Given a service on a port, When another project wants the same, Then compose says so
    second = project.parent / "second"
    shutil.copytree(project, second)
    environment = {**os.environ, "VERSION": "test", "COMPOSE_PROJECT_NAME": "second"}
    command = ["docker", "compose", "up", "--no-build", "--wait"]
    done = subprocess.run(
        command, cwd=second, check=False, capture_output=True, text=True, env=environment
    )
    subprocess.run(
        ["docker", "compose", "down", "--volumes"], cwd=second, check=True, env=environment
    )
    assert done.returncode != 0
    assert "already allocated" in done.stderr or "already in use" in done.stderr


def test_readiness_can_be_asked_by_the_same_command(up: Container) -> None:
    # Given a service that is ready, When the probe is told to ask for that, Then it agrees
    up.until_ready()
    assert up.exec("python", "-m", "app.healthcheck", "/ready") == ""
    assert httpx2.get(f"{up.url}/ready", timeout=PATIENCE).json()["device"] == "cpu"


def test_the_gpu_project_reserves_a_gpu_where_env_says_so(gpu_image: Image) -> None:
    # Given the GPU project's two files
    files = gpu_image.project / "compose.cuda.yaml", gpu_image.project / "compose.yaml"
    example = (gpu_image.project / ".env.example").read_text("utf-8")
    assert all(file.exists() for file in files)
    # When compose reads what .env.example names
    (line,) = (line for line in example.splitlines() if line.startswith("COMPOSE_FILE="))
    config = docker(
        "compose", "config", "--format=json", cwd=gpu_image.project, **dict([line.split("=")])
    )
    # Then one GPU is reserved; and without that file none is
    limits = json.loads(config)["services"]["service"]["deploy"]["resources"]
    (device,) = limits["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", 1, ["gpu"])
    plain = yaml.safe_load((gpu_image.project / "compose.yaml").read_text("utf-8"))
    assert "reservations" not in plain["services"]["service"]["deploy"]["resources"]


@pytest.mark.parametrize(
    "answers", product_of("device", "stt_engine", "llm_engine", "tts_engine"), ids=name_of
)
def test_compose_takes_every_variant(answers: Answers, render: Render, engine: None) -> None:
    # Given a rendered project, with its .env
    project = render(answers)
    # When compose reads its files, Then they are valid, and ask for no variable that is not set
    command = ["docker", "compose", "config", "--quiet"]
    done = subprocess.run(command, cwd=project, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
