"""Start, health, restart, stop and everything that can go wrong with them."""

from __future__ import annotations

import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import numpy as np
import pytest

from tests.containers.conftest import MOUNTED, Image
from tests.containers.engine import APPUSER, FRESH, PATIENCE, Container, docker, running, volumes
from tests.service.conftest import RATE, recorded_speech, samples_of, wav_of

SPEECH = "/v1/audio/speech"
ESPEAK_DATA = "/usr/lib/x86_64-linux-gnu/espeak-ng-data"
GRACE = 60
UNFINISHED = 4


def speak(container: Container) -> httpx2.Response:
    """Have a sentence spoken."""
    return container.post(SPEECH, json={"model": "tts-1", "input": "Hello.", "voice": "auto"})


def test_what_was_said_is_still_there_after_a_restart(light_image: Image, weights: Path) -> None:
    # Given a service with volumes, which has spoken and written
    mount = f"--volume={weights}:{MOUNTED}:ro"
    with volumes("/srv/data", "/srv/static/tts") as kept:
        options = (mount, *kept.options())
        with running(light_image.name, *options, settings=light_image.settings) as first:
            first.until_ready()
            clip = next(iter(recorded_speech()))
            files = {"file": ("a.wav", clip.read_bytes())}
            url = first.post("/api/voice-chat", files=files).json()["tts_url"]
            first.exec("sh", "-c", "echo kept > /srv/data/index")
            spoken = first.get(url).content
            # When the container is started anew
            docker("restart", first.id)
            first.until_ready()
            # Then both are there
            assert first.get(url).content == spoken
            assert first.exec("cat", "/srv/data/index") == "kept"
        # And when another container takes its place, they are there as well
        with running(light_image.name, *options, settings=light_image.settings) as second:
            second.until_ready()
            assert second.get(url).content == spoken
            assert second.exec("cat", "/srv/data/index") == "kept"


@pytest.mark.parametrize("folder", ["/srv/data", "/srv/models", "/srv/static/tts"])
def test_a_backup_fits_a_fresh_volume(folder: str, light_image: Image) -> None:
    # Given a volume that the service's user has written, saved to an archive by root
    image = light_image.name
    write = f"mkdir {folder}/v1 && echo kept > {folder}/v1/index"
    save, restore = "tar -C /from -czf /to/a.tar.gz .", "tar -C /to -xzf /from/a.tar.gz"
    run = ["run", "--rm", "--read-only", "--cap-drop=ALL"]
    with volumes(folder, "/archive") as old, volumes(folder) as new:
        archive, first, second = old.names["/archive"], old.names[folder], new.names[folder]
        docker(*run, f"--volume={first}:{folder}", image, "sh", "-c", write)
        saved = ["--user=0", f"--volume={first}:/from:ro", f"--volume={archive}:/to"]
        docker("run", "--rm", *saved, image, *save.split())
        # When it is restored into a fresh one, as the README says
        restored = ["--user=0", f"--volume={second}:/to", f"--volume={archive}:/from:ro"]
        docker("run", "--rm", *restored, image, *restore.split())
        # Then the service's user, without any right, reads it and writes on
        more = f"echo more >> {folder}/v1/index && touch {folder}/new && cat {folder}/v1/index"
        out = docker(*run, f"--volume={second}:{folder}", image, "sh", "-c", more)
        assert out == "kept\nmore"


def test_a_running_request_ends_before_the_container_does(light: Container, tmp_path: Path) -> None:
    # Given a long recording that is being transcribed
    clips = [samples_of(clip) for clip in recorded_speech()]
    recording = wav_of(np.concatenate(clips * 3), tmp_path / "long.wav")
    with ThreadPoolExecutor() as pool:
        reply = pool.submit(
            light.post,
            "/v1/audio/transcriptions",
            files={"file": ("long.wav", recording.read_bytes())},
            data={"model": "whisper-1"},
        )
        time.sleep(1)
        assert not reply.done()
        # When the container is stopped
        started = time.monotonic()
        docker("stop", f"--time={GRACE}", light.id)
        # Then the request has its whole answer
        response = reply.result()
    assert response.status_code == 200
    assert len(response.json()["text"].split()) > len(recording.read_bytes()) / RATE / 4
    # And the service has ended by itself, well, within its time
    assert light.state["ExitCode"] == 0
    assert time.monotonic() - started < GRACE
    assert "Traceback" not in light.logs()


def test_work_that_outlasts_its_time_is_given_up_in_order(
    light_image: Image, weights: Path, tmp_path: Path
) -> None:
    # Given a service with one second for running requests, and one that takes longer
    clips = [samples_of(clip) for clip in recorded_speech()]
    recording = wav_of(np.concatenate(clips * 5), tmp_path / "long.wav").read_bytes()
    settings = light_image.settings | {"SHUTDOWN_SECONDS": "1"}
    mount = f"--volume={weights}:{MOUNTED}:ro"
    with (
        running(light_image.name, mount, *FRESH, settings=settings) as it,
        ThreadPoolExecutor() as pool,
    ):
        it.until_ready()
        files, data = {"file": ("long.wav", recording)}, {"model": "whisper-1"}
        reply = pool.submit(it.post, "/v1/audio/transcriptions", files=files, data=data)
        time.sleep(1)
        assert not reply.done()
        # When the container is stopped
        docker("stop", f"--time={GRACE}", it.id)
        # Then it ends by itself, without a crash, and says that work was left
        assert it.state["ExitCode"] == UNFINISHED
        assert "work_unfinished" in it.logs()
        assert "terminate called" not in it.logs()


def test_health_follows_the_engines(light_image: Image, weights: Path, tmp_path: Path) -> None:
    # Given a service whose voice reads its data from a folder that we hold
    with running(light_image.name, "--entrypoint=true", hardened=False) as copied:
        docker("cp", f"{copied.id}:{ESPEAK_DATA}", str(tmp_path / "voice"))
    options = (
        f"--volume={weights}:{MOUNTED}:ro",
        f"--volume={tmp_path / 'voice'}:{ESPEAK_DATA}",
        "--health-interval=1s",
        *FRESH,
    )
    with running(light_image.name, *options, settings=light_image.settings) as container:
        # When it starts, Then it is starting, then healthy
        assert container.health == "starting"
        container.until(lambda: container.health == "healthy", "healthy")
        container.until_ready()
        assert speak(container).status_code == 200
        # When the voice loses its data for good
        shutil.rmtree(tmp_path / "voice" / "lang")
        for file in (tmp_path / "voice").iterdir():
            file.unlink() if file.is_file() else shutil.rmtree(file)
        assert speak(container).status_code == 503
        # Then it is unhealthy, and the engine's last words name the cause
        container.until(lambda: container.health == "unhealthy", "unhealthy")
        said = container.state["Health"]["Log"][-1]["Output"]
        assert "503" in said
        assert "tts" in said


@pytest.mark.parametrize("delay", [0.1, 0.4, 1.0, 2.0])
def test_sigterm_during_the_start_ends_it_at_once(
    delay: float, light_image: Image, weights: Path
) -> None:
    # Given a container that has just been started: Python, imports, models
    mount = f"--volume={weights}:{MOUNTED}:ro"
    with running(light_image.name, mount, *FRESH, settings=light_image.settings) as it:
        # When it is stopped
        time.sleep(delay)
        started = time.monotonic()
        docker("stop", f"--time={GRACE}", it.id)
        # Then it does not wait to be killed
        assert time.monotonic() - started < GRACE / 2
        assert it.state["ExitCode"] == 0
        assert "Traceback" not in it.logs()


def owned_by_root(folder: Path) -> str:
    """Return a folder as a mount at the service's data, writable for root alone."""
    folder.chmod(0o755)
    return f"--volume={folder}:/srv/data"


@pytest.fixture
def broken_weights(tmp_path: Path) -> Path:
    """Return a folder of weights that are not those of its checksums."""
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"rotten")
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  model.bin\n", "utf-8")
    return folder


@pytest.mark.parametrize(
    ("case", "status", "sentence"),
    [
        ("volume not writable", os.EX_NOPERM, f"/srv/data cannot be written by uid {APPUSER}"),
        ("wrong uid", os.EX_NOPERM, "cannot be written by uid 12345"),
        ("weights folder empty", 3, "STT_MODEL names /srv/models/whisper-base-ct2, but"),
        ("source folder empty", os.EX_CONFIG, "/srv/models"),
        ("checksum wrong", os.EX_DATAERR, "is not what /broken/SHA256SUMS says"),
        ("port taken", os.EX_OSERR, "Port 8000 on 0.0.0.0 is taken"),
        ("bad settings", os.EX_CONFIG, "API_KEYS"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    case: str,
    status: int,
    sentence: str,
    light_image: Image,
    broken_weights: Path,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    # Given a container that cannot work
    options = list(FRESH)
    settings = dict(light_image.settings, STT_MODEL="/srv/models/whisper-base-ct2")
    if case == "volume not writable":
        options[0] = owned_by_root(tmp_path)
    elif case == "wrong uid":
        options.append("--user=12345")
    elif case == "source folder empty":
        settings["MODEL_SOURCE"] = "/srv/models"
    elif case == "checksum wrong":
        options.append(f"--volume={broken_weights}:/broken:ro")
        settings["MODEL_SOURCE"] = "/broken"
    elif case == "port taken":
        other: Container = request.getfixturevalue("light")
        options.append(f"--network=container:{other.id}")
    elif case == "bad settings":
        settings["API_KEYS"] = ""
    # When it is started
    with running(light_image.name, *options, settings=settings) as container:
        ended, log = container.until_exited()
    # Then it ends, one line says why, and nothing else has to be read
    assert ended == status, log
    errors = [line for line in log.splitlines() if sentence in line]
    assert len(errors) == 1, log
    assert "Traceback" not in log


def test_a_gpu_image_without_a_gpu_says_so(gpu_image: Image) -> None:
    # Given the GPU image on a machine without a GPU, or not let in to it
    with running(gpu_image.name, settings=gpu_image.settings) as container:
        # When it is started, Then one line says what is missing and what to do
        status, log = container.until_exited()
    assert status == os.EX_UNAVAILABLE
    (line,) = log.splitlines()
    assert "no NVIDIA driver is in reach" in line
    assert "--gpus all" in line


def test_a_start_that_fails_is_not_tried_for_ever(light_image: Image) -> None:
    # Given a service that cannot start, under the restart policy of compose.yaml
    policy = "--restart=on-failure:3"
    with running(light_image.name, policy, settings={"API_KEYS": ""}) as container:
        # When the engine has tried
        container.until(
            lambda: (
                container.inspect()["RestartCount"] == 3 and container.state["Status"] == "exited"
            ),
            "given up",
        )
        # Then it leaves it at that
        time.sleep(2)
        assert container.state["Status"] == "exited"
        assert container.inspect()["RestartCount"] == 3


def test_eight_callers_are_served_by_one_hardened_container(light: Container) -> None:
    # Given recordings, and a container that may write nothing but its volumes
    clips = list(recorded_speech())
    before = light.exec("ls", "/tmp")
    lock = threading.Barrier(8)

    def hear(number: int) -> int:
        lock.wait(PATIENCE)
        content = clips[number % len(clips)].read_bytes()
        files = {"file": ("a.wav", content)}
        data = {"model": "whisper-1"}
        return light.post("/v1/audio/transcriptions", files=files, data=data).status_code

    # When eight callers come at once
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(hear, range(8)))
    # Then all are served, and no temporary file stays
    assert statuses == [200] * 8
    assert light.exec("ls", "/tmp") == before


def test_a_stopped_engine_leaves_no_process_behind(light: Container) -> None:
    # Given a service that has decoded and spoken in processes of their own
    assert speak(light).status_code == 200
    # When its processes are listed
    listed = docker("top", light.id, "-eo", "pid,stat,comm").splitlines()[1:]
    # Then there is itself alone: none is left over, none is a zombie
    assert len(listed) == 1, listed
