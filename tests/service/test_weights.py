"""The weights step against a real S3 server and a hub, with kills, broken disks and bad luck."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Render
from tests.servers.hub_server import TOKEN
from tests.servers.s3_server import ask, make_bucket, running, serving_s3, upload
from tests.servers.slow_proxy import SlowProxy
from tools.service_process import free_port

MB = 1_000_000
PATIENCE = 30.0
# Sooner than a source that says nothing is given up, which is after 8 s.
PROMPT = 6.0
COMMIT = "0123456789" * 4
BIG = "whisper/model.bin"
FILES = {
    BIG: random.Random(0).randbytes(8 * MB),
    "whisper/config.json": b"{}",
    "이름 1%20.txt": b"text",
}
MODEL = {"config.json": b"{}", "model.safetensors": random.Random(2).randbytes(4 * MB)}
# What `main.py` does before it serves, with constants changed by a test.
STEP = """
import signal, sys
from pathlib import Path
from app.core.config import Settings
from app.core.logger import configure_logging
from app.repositories.weights_repository import WeightsError, provide_weights

def stop(*_):
    raise SystemExit(0)

signal.signal(signal.SIGTERM, stop)
configure_logging(Settings())
exec(sys.argv[3])
try:
    provide_weights(sys.argv[1], Path(sys.argv[2]))
except WeightsError as error:
    print(error)
    sys.exit(error.exit_status)
"""


class Step:
    """A running weights step."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def names(self) -> list[str]:
        """Return the names of what it has logged."""
        return [event["event"] for event in self.events]

    def ends(self, within: float = PATIENCE) -> tuple[int, str]:
        """Return the exit status and what it has said, once it ends."""
        said, _ = self.process.communicate(timeout=within)
        assert "Traceback" not in self._log.read_text()
        return self.process.returncode, said.strip()

    def waits_for(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so, while it runs."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)


Start = Callable[..., Step]


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """Return the address of a real S3 server."""
    with serving_s3("127.0.0.1") as address:
        yield address


@pytest.fixture
def s3(s3_server: str) -> Iterator[SlowProxy]:
    """Return a proxy in front of the S3 server, in which a bucket has `FILES`."""
    make_bucket(s3_server)
    upload(s3_server, FILES)
    with SlowProxy(s3_server).running() as proxy:
        yield proxy


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[SlowProxy]:
    """Return a proxy in front of a hub, in which two models have `MODEL` and another form of it."""
    folder, port = tmp_path / "hub", str(free_port())
    for model in ("owner/name", "owner/gated-name"):
        for name, content in {**MODEL, "pytorch_model.bin": b"other"}.items():
            file = folder / model / COMMIT / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    script = str(Path(__file__).parent.parent / "servers" / "hub_server.py")
    command = (sys.executable, script, str(folder), "--port", port)
    with (
        running(f"http://127.0.0.1:{port}/health", *command),
        SlowProxy(f"http://127.0.0.1:{port}").running() as proxy,
    ):
        yield proxy


@pytest.fixture
def start(
    render: Render, every_engine: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Start]:
    """Return a function that starts the weights step; all of them end with the test."""
    project = render({"stt_engine": "faster-whisper", "tts_engine": "espeak-ng"})
    proxies = {
        variable: request.getfixturevalue(name).url
        for name, variable in {"s3": "AWS_ENDPOINT_URL", "hub": "HF_ENDPOINT"}.items()
        if name in request.fixturenames
    }
    with ExitStack() as stack:

        def started(
            source: str = "s3://bucket/weights",
            setup: str = "",
            folder: str | Path = "models",
            **variables: str | None,
        ) -> Step:
            log = tmp_path / f"{time.monotonic_ns()}.log"
            wanted = {
                **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
                "PYTHONPATH": str(project),
                "AUTH_REQUIRED": "false",
                "AWS_ACCESS_KEY_ID": "id",
                "AWS_SECRET_ACCESS_KEY": "a-secret-key",
                **proxies,
                **variables,
            }
            environment = {name: value for name, value in wanted.items() if value is not None}
            with log.open("w") as out:
                process = subprocess.Popen(
                    [str(every_engine), "-c", STEP, source, str(folder), setup],
                    cwd=tmp_path,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=out,
                    text=True,
                )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return Step(process, log)

        yield started


def partial_size(models: Path) -> int:
    """Return the bytes of the file that grows."""
    return max((path.stat().st_size for path in models.glob(".partial/*")), default=0)


def content_of(folder: Path, names: dict[str, bytes] = FILES) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def test_a_bucket_is_fetched_once(start: Start, s3: SlowProxy, models: Path) -> None:
    # Given an empty models folder, When the step runs, Then all is there, and each byte came once
    assert start().ends() == (0, "")
    assert content_of(models) == FILES
    assert [one.sent for one in s3.bodies(BIG)] == [len(FILES[BIG])]
    # And when it runs again, Then no content is asked for
    step = start()
    assert step.ends() == (0, "")
    assert step.names() == ["weights_ready"]
    assert len(s3.bodies(BIG)) == 1


def test_a_kill_costs_no_byte(start: Start, s3: SlowProxy, models: Path) -> None:
    # Given a fetch that is killed in the middle
    s3.speed = 4 * MB
    step = start()
    step.waits_for(lambda: partial_size(models) > 2 * MB)
    step.process.kill()
    step.process.wait()
    there = partial_size(models)
    s3.speed = None
    # When the step runs again, with what the dead one held
    assert start().ends() == (0, "")
    # Then it asks for the rest alone
    first, second = s3.bodies(BIG)
    assert second.range == f"bytes={there}-"
    assert second.sent == len(FILES[BIG]) - there
    assert first.sent < len(FILES[BIG])
    assert content_of(models) == FILES


def test_one_of_two_fetches(start: Start, s3: SlowProxy, models: Path) -> None:
    # Given two replicas that start at once
    s3.speed = 6 * MB
    steps = [start(), start()]
    # When both are through
    assert [step.ends() for step in steps] == [(0, "")] * 2
    # Then one of them has waited, and each byte came once
    assert sorted(step.names() for step in steps) == [
        ["weights_fetching", "weights_ready"],
        ["weights_waiting", "weights_ready"],
    ]
    assert [one.sent for one in s3.bodies(BIG)] == [len(FILES[BIG])]


def test_who_waits_takes_over_from_the_dead(start: Start, s3: SlowProxy, models: Path) -> None:
    # Given one that fetches, and one that waits for it
    s3.speed = 2 * MB
    holder = start()
    holder.waits_for(lambda: partial_size(models) > MB)
    waiting = start()
    waiting.waits_for(lambda: waiting.names() == ["weights_waiting"])
    # When the first is killed, Then the second goes on where it was
    s3.speed = None
    holder.process.kill()
    holder.process.wait()
    assert waiting.ends() == (0, "")
    assert content_of(models) == FILES
    assert s3.bodies(BIG)[1].range != "bytes=0-"


def test_who_stands_still_is_replaced(start: Start, s3: SlowProxy, models: Path) -> None:
    # Given one that fetches slowly and then stands still, as on a machine that hangs
    files = {"big": random.Random(1).randbytes(16 * MB)}
    upload(s3.target, files)
    s3.speed = MB
    short = "from app.repositories.weights import lease; lease.LEASE_SECONDS = 1.5"
    holder = start(setup=short)
    holder.waits_for(lambda: partial_size(models) > MB)
    holder.process.send_signal(signal.SIGSTOP)
    s3.speed = None
    # When another waits for as long as the lease is
    assert start(setup=short).ends() == (0, "")
    # Then it has taken over, and the first finds out when it wakes, and has done no harm
    holder.process.send_signal(signal.SIGCONT)
    status, said = holder.ends()
    assert status == os.EX_TEMPFAIL
    assert "taken over" in said
    assert content_of(models, files) == files


def test_asked_to_stop_it_stops(start: Start, s3: SlowProxy, models: Path) -> None:
    # Given a fetch, and a server that says nothing any more
    s3.speed = 4 * MB
    step = start()
    step.waits_for(lambda: partial_size(models) > 2 * MB)
    s3.silent = True
    # When it is asked to stop
    step.process.terminate()
    # Then it does, and leaves what it has to the next
    assert step.ends(PROMPT) == (0, "")
    assert partial_size(models) > 2 * MB
    assert not (models / ".fetch.lease").exists()


def test_what_has_changed_is_fetched(start: Start, s3: SlowProxy, models: Path) -> None:
    # Given a pinned version that is there, and then a newer one in the bucket
    pin = upload(s3.target, FILES)
    assert start(f"s3://bucket/weights@{pin}").ends() == (0, "")
    newer = {**FILES, "whisper/config.json": b'{"newer": true}'}
    pin = upload(s3.target, newer)
    # When that is pinned, Then its changed file alone is fetched
    assert start(f"s3://bucket/weights@{pin}").ends() == (0, "")
    assert content_of(models) == newer
    assert len(s3.bodies(BIG)) == 1
    # And when a file is cut short, Then it is fetched anew
    os.truncate(models / BIG, 1000)
    assert start(f"s3://bucket/weights@{pin}").ends() == (0, "")
    assert content_of(models) == newer


def test_without_a_network_it_starts_with_what_it_has(
    start: Start, s3: SlowProxy, models: Path
) -> None:
    # Given weights that were fetched, pinned and not
    pin = upload(s3.target, FILES)
    pinned = f"s3://bucket/weights@{pin}"
    for source in ("s3://bucket/weights", pinned):
        assert start(source).ends() == (0, "")
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    # When the bucket is out of reach, Then the pinned ones need none
    step = start(pinned, **nowhere)
    assert step.ends() == (0, "")
    assert step.names() == ["weights_ready"]
    # And the others are taken with a warning, and cannot be replaced
    step = start(**nowhere)
    assert step.ends() == (0, "")
    assert step.names() == ["weights_unreachable", "weights_ready"]
    (models / BIG).unlink()
    status, said = start(pinned, **nowhere).ends()
    assert status == os.EX_UNAVAILABLE
    assert "Connection refused" in said


def test_a_server_that_says_nothing_is_given_up(start: Start, s3: SlowProxy, models: Path) -> None:
    # Given a server that falls silent, and a step with little patience
    setup = "from app.repositories.weights import base; base.STALL_SECONDS = 1"
    s3.speed = 4 * MB
    step = start(setup=setup)
    step.waits_for(lambda: partial_size(models) > MB)
    # When nothing comes any more, Then it tries again, and then says so
    s3.silent = True
    status, said = step.ends()
    assert status == os.EX_UNAVAILABLE
    assert "cannot be reached" in said
    assert step.names() == ["weights_fetching", *["weights_interrupted"] * 2]


def test_a_bucket_that_cannot_be_used_is_told(start: Start, s3: SlowProxy, models: Path) -> None:
    # Given what may be wrong with a bucket
    ask(s3.target, "PUT", "/bare")
    ask(s3.target, "PUT", "/bare/weights/model.bin", b"model")
    ask(s3.target, "PUT", "/rotten")
    ask(s3.target, "PUT", "/rotten/SHA256SUMS", b"0" * 64 + b"  model.bin")
    ask(s3.target, "PUT", "/rotten/model.bin", b"model")
    none = {"AWS_ACCESS_KEY_ID": None, "AWS_METADATA_ENDPOINT": "http://127.0.0.1:1"}
    # When it is the source
    steps = {
        (os.EX_CONFIG, "has no SHA256SUMS"): start("s3://bare/weights"),
        (os.EX_CONFIG, "There is nothing at"): start("s3://bucket/wheights"),
        (os.EX_CONFIG, "There is no bucket"): start("s3://basket/weights"),
        (os.EX_DATAERR, "has not the checksum"): start("s3://rotten"),
        (os.EX_DATAERR, "is not the one"): start(f"s3://bucket/weights@{'0' * 64}"),
        (os.EX_NOPERM, "no credentials"): start(AWS_SECRET_ACCESS_KEY="", **none),
        (os.EX_CONFIG, "is no address"): start(AWS_ENDPOINT_URL="http://127.0.0.1:port"),
        (os.EX_CONFIG, "AWS_REGION has a line break"): start(AWS_REGION="here\nthere"),
    }
    # Then the exit status and one sentence say what is wrong
    for (expected, told), step in steps.items():
        status, said = step.ends()
        assert (status, told in said) == (expected, True), said
    # And a file that is not what was announced is not kept
    assert content_of(models, {"model.bin": b""}) == {}
    # And when the server refuses the key, Then the sentence says so without the key
    ask(s3.target, "POST", "/moto-api/reset-auth", b"0")
    status, said = start().ends()
    ask(s3.target, "POST", "/moto-api/reset-auth", b"inf")
    assert status == os.EX_NOPERM
    assert "AWS_ACCESS_KEY_ID" in said
    assert "a-secret-key" not in said


def missing(reason: str) -> None:
    """Skip a test, or fail it where every test is required."""
    if os.environ.get("KODEX_REQUIRE_REAL"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a disk of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        missing("this user may not mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told(start: Start, s3: SlowProxy, small_disk: Path) -> None:
    # Given a disk that is too small
    # When the step runs, Then it says so before it begins
    status, said = start(folder=small_disk).ends()
    assert status == os.EX_CANTCREAT
    assert "the weights need 8 MB more" in said
    assert not s3.bodies(BIG)
    # And when others fill the disk meanwhile, Then the same
    blind = "from app.repositories.weights import disk; disk.SPARE_BYTES = -100_000_000"
    status, said = start(setup=blind, folder=small_disk).ends()
    assert status == os.EX_CANTCREAT
    assert "the weights need more" in said
    # And what fits is kept for the next start
    assert partial_size(small_disk) > MB


def test_a_folder_that_may_not_be_written_is_told(
    start: Start, s3: SlowProxy, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        missing("this user may not become another")
    # Given another user than the owner of the models folder
    tmp_path.chmod(0o755)
    # What it needs may lie where that user cannot read: it is read before.
    nobody = (
        "provide_weights(sys.argv[1], Path('other')); "
        "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534)"
    )
    (tmp_path / "models").mkdir()
    # When weights are missing, Then that is told
    status, said = start(setup=nobody).ends()
    assert status == os.EX_NOPERM
    assert "cannot be written by the user with the id 65534" in said
    # And when they are there, Then they can be used
    assert start().ends() == (0, "")
    assert start(setup=nobody).ends() == (0, "")


def test_a_model_of_the_hub_is_fetched(start: Start, hub: SlowProxy, models: Path) -> None:
    # Given a model with safetensors, and a fetch that is killed in the middle
    source, weights = f"hf://owner/name@{COMMIT}", "model.safetensors"
    hub.speed = 4 * MB
    step = start(source)
    step.waits_for(lambda: partial_size(models) > MB)
    step.process.kill()
    step.process.wait()
    there = partial_size(models)
    hub.speed = None
    # When the step runs again, Then the rest comes, and not the same in another form
    assert start(source).ends() == (0, "")
    _, second = (one for one in hub.bodies(weights) if one.path.startswith("/cdn/"))
    assert second.range == f"bytes={there}-"
    assert second.sent == len(MODEL[weights]) - there
    assert content_of(models / "owner/name", MODEL) == MODEL
    assert not hub.bodies("pytorch_model.bin")
    # And the token is not shown to the other host
    gated = f"owner/gated-name@{COMMIT}"
    assert start(gated, HF_TOKEN=TOKEN).ends() == (0, "")
    seen = [one for one in hub.bodies(weights) if "gated" in one.path]
    assert [one.authorized for one in seen] == [True, False]
    # And what is there needs no hub
    assert start(f"{source} {gated}", HF_ENDPOINT="http://127.0.0.1:1").ends() == (0, "")


def test_a_hub_that_cannot_be_used_is_told(start: Start, hub: SlowProxy, models: Path) -> None:
    # Given what may be wrong with a model
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:1"}
    # When it is the source
    steps = {
        (os.EX_CONFIG, "without a commit"): start("owner/name@main"),
        (os.EX_CONFIG, "no model owner/nobody"): start(f"owner/nobody@{COMMIT}"),
        (os.EX_CONFIG, "no commit"): start(f"owner/name@{'0' * 40}"),
        (os.EX_NOPERM, "is gated"): start(f"owner/gated-name@{COMMIT}"),
        (os.EX_UNAVAILABLE, "ConnectError"): start(f"owner/name@{COMMIT}", **nowhere),
        (os.EX_CONFIG, "is no address"): start(f"owner/name@{COMMIT}", HF_ENDPOINT="http://[bad"),
        (os.EX_CONFIG, "HF_TOKEN"): start(f"owner/name@{COMMIT}", HF_TOKEN="비밀"),
        (os.EX_UNAVAILABLE, "OFFLINE"): start(f"owner/name@{COMMIT}", HF_HUB_OFFLINE="1"),
    }
    # Then the exit status and one sentence say what is wrong
    for (expected, told), step in steps.items():
        status, said = step.ends()
        assert (status, told in said) == (expected, True), said
    assert not [*models.rglob("*")]
