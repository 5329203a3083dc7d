"""A container that fetches its weights by itself, from a real S3 server."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.containers.conftest import Image
from tests.containers.engine import Container, docker, running, volumes
from tests.servers.s3_server import make_bucket, serving_s3, upload
from tests.service.conftest import recorded_speech

MODEL = "whisper-base-ct2"


@dataclass(frozen=True)
class Bucket:
    """A bucket with Whisper in it, in a network that containers share with this machine."""

    network: str
    url: str
    checksum: str


@pytest.fixture(scope="module")
def bucket(engine: None, weights: Path) -> Iterator[Bucket]:
    name = f"kodex-test-{uuid.uuid4().hex[:8]}"
    docker("network", "create", name)
    try:
        gateway = docker("network", "inspect", name, "--format={{(index .IPAM.Config 0).Gateway}}")
        files = {
            str(file.relative_to(weights)): file.read_bytes()
            for file in (weights / MODEL).iterdir()
        }
        with serving_s3(gateway) as url:
            make_bucket(url)
            yield Bucket(name, url, upload(url, files))
    finally:
        docker("network", "rm", name)


def address(container: Container, network: str) -> str:
    """Return a container's own address in a network."""
    found: str = container.inspect()["NetworkSettings"]["Networks"][network]["IPAddress"]
    return f"http://{found}:8000"


def partial_bytes(container: Container) -> int:
    """Return how much of the file that grows is there."""
    command = "cat /srv/models/.partial/* 2>/dev/null | wc -c"
    return int(container.exec("sh", "-c", command))


def until_it_hears(container: Container, network: str) -> str:
    """Wait until it is ready, and return what it hears."""

    def ready() -> bool:
        try:
            return httpx2.get(f"{address(container, network)}/ready").status_code == 200
        except httpx2.TransportError:
            assert container.state["Status"] == "running", container.logs()
            return False

    container.until(ready, "ready")
    clip = next(iter(recorded_speech()))
    reply = httpx2.post(
        f"{address(container, network)}/v1/audio/transcriptions",
        headers={"Authorization": "Bearer key-of-a-test"},
        files={"file": ("a.wav", clip.read_bytes())},
        data={"model": "whisper-1"},
        timeout=60,
    )
    text: str = reply.json()["text"]
    return text


def test_a_container_fetches_its_weights_and_goes_on_after_a_kill(
    light_image: Image, bucket: Bucket
) -> None:
    # Given an empty volume, and weights in a bucket, pinned by their checksums
    settings = light_image.settings | {
        "STT_MODEL": MODEL,
        "MODEL_SOURCE": f"s3://bucket/weights@{bucket.checksum}",
        "AWS_ENDPOINT_URL": bucket.url,
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "a-secret-key",
    }
    with volumes("/srv/models", "/srv/data", "/srv/static/tts") as kept:
        options = (f"--network={bucket.network}", *kept.options())
        with running(light_image.name, *options, settings=settings) as first:
            # When the container is killed while its weights come
            first.until(lambda: partial_bytes(first) > 0, "fetching")
            docker("kill", "--signal=KILL", first.id)
        with running(light_image.name, *options, settings=settings) as second:
            # Then the next one fetches the rest alone, verified, and hears
            assert until_it_hears(second, bucket.network)
            log = second.logs()
            (line,) = (line for line in log.splitlines() if '"weights_fetching"' in line)
            assert 0 < json.loads(line)["megabytes_there"] < json.loads(line)["megabytes"]
            assert "weights_ready" in log
            assert settings["AWS_SECRET_ACCESS_KEY"] not in log
        # And one that finds everything there fetches nothing
        with running(light_image.name, *options, settings=settings) as third:
            assert until_it_hears(third, bucket.network)
            assert "weights_fetching" not in third.logs()


def test_two_replicas_share_one_fetch(light_image: Image, bucket: Bucket) -> None:
    # Given two replicas on one volume, which is empty
    settings = light_image.settings | {
        "STT_MODEL": MODEL,
        "MODEL_SOURCE": "s3://bucket/weights",
        "AWS_ENDPOINT_URL": bucket.url,
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "a-secret-key",
    }
    with volumes("/srv/models", "/srv/data", "/srv/static/tts") as kept:
        options = (f"--network={bucket.network}", *kept.options())
        # When both start
        with (
            running(light_image.name, *options, settings=settings) as one,
            running(light_image.name, *options, settings=settings) as other,
        ):
            # Then both hear, and one alone has fetched
            assert until_it_hears(one, bucket.network)
            assert until_it_hears(other, bucket.network)
            logs = one.logs(), other.logs()
    assert sorted("weights_fetching" in log for log in logs) == [False, True]
    assert sorted("weights_waiting" in log for log in logs) == [False, True]


@pytest.mark.parametrize(
    ("change", "status", "sentence"),
    [
        ({"MODEL_SOURCE": "s3://bucket/nothing"}, 78, "There is nothing at s3://bucket/nothing"),
        ({"MODEL_SOURCE": "Qwen/Qwen3-4B@main"}, 78, "without a commit"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, 69, "cannot be reached"),
    ],
)
def test_a_source_that_does_not_work_is_told_in_one_line(
    light_image: Image, bucket: Bucket, change: dict[str, str], status: int, sentence: str
) -> None:
    # Given a source that cannot be used
    settings = light_image.settings | {
        "MODEL_SOURCE": "s3://bucket/weights",
        "AWS_ENDPOINT_URL": bucket.url,
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "a-secret-key",
        **change,
    }
    with volumes("/srv/models", "/srv/data", "/srv/static/tts") as kept:
        options = (f"--network={bucket.network}", *kept.options())
        with running(light_image.name, *options, settings=settings) as container:
            # When the container starts, Then it ends, with a status and a sentence
            ended, log = container.until_exited()
    assert ended == status, log
    assert [sentence in line for line in log.splitlines()].count(True) == 1, log
    assert "Traceback" not in log
