import hashlib
import io
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import httpx2
import pytest
from filelock import SoftFileLease
from huggingface_hub import set_client_factory
from huggingface_hub.utils._http import default_client_factory

from app.core.logger import configure_logging
from app.repositories import weights_repository
from app.repositories.weights import bucket, disk, download, lease
from app.repositories.weights.base import Source, WeightFile
from app.repositories.weights.download import Progress
from app.repositories.weights.record import Record
from app.repositories.weights_repository import WeightsError, provide_weights
from tests.conftest import Logs, MakeSettings
from tests.helpers import PATIENCE, STEP

FILES = {"model/weights.bin": b"w" * 300_000, "model/이름 1%20#.txt": b"text", "empty": b""}
COMMIT = "0123456789" * 4

Share = Callable[[dict[str, bytes]], str]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def share(tmp_path: Path) -> Share:
    """Write files with their checksums into a folder, and return it as a source to copy from."""
    folder = tmp_path / "share"

    def write(files: dict[str, bytes]) -> str:
        shutil.rmtree(folder, ignore_errors=True)
        sums = ""
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
            sums += f"{hashlib.sha256(content).hexdigest()}  ./{name}\n"
        (folder / "SHA256SUMS").write_text(sums)
        return folder.as_uri()

    return write


@pytest.fixture
def events(make_settings: MakeSettings, logs: Logs) -> Callable[[], list[str]]:
    """Return the names of what was logged since the last call."""
    configure_logging(make_settings())
    return lambda: [line["event"] for line in logs()]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSES", (0.0, 0.0))


def content_of(models: Path) -> dict[str, bytes]:
    """Return every file that is no bookkeeping."""
    paths = (path for path in models.rglob("*") if path.is_file())
    return {
        path.relative_to(models).as_posix(): path.read_bytes()
        for path in paths
        if not path.name.startswith(".")
    }


def pin_of(source: str) -> str:
    return hashlib.sha256(
        Path(source.removeprefix("file://"), "SHA256SUMS").read_bytes()
    ).hexdigest()


def refused(source: str, models: Path) -> WeightsError:
    with pytest.raises(WeightsError) as error:
        provide_weights(source, models)
    assert re.fullmatch(r"\S[^\n]+\.", str(error.value))
    return error.value


def test_no_source_is_nothing_to_do(models: Path, events: Callable[[], list[str]]) -> None:
    # Given no MODEL_SOURCE, When weights are provided, Then nothing is made and nothing is said
    provide_weights(" ", models)
    assert not models.exists()
    assert events() == []


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("Qwen/Qwen2.5-0.5B-Instruct", "without a commit"),
        ("hf://Qwen/Qwen2.5-0.5B-Instruct@main", "without a commit"),
        ("owner/name@0123456", "without a commit"),
        ("ftp://host/weights", "ftp:// that is none"),
        ("s3://", "s3:// that is none"),
        ("s3://id:secret/part@bucket/prefix", "s3:// that is none"),
        ("https://host/weights?token=secret", "https:// that is none"),
        ("hf://owner", "hf:// that is none"),
        (f"s3://bucket/prefix@{COMMIT}", "s3:// that is none"),
        ("nowhere", "nowhere, but there is no such folder"),
        ("./nowhere", "nowhere, but there is no such folder"),
        ("~nobodyx/weights", "~nobodyx/weights, but there is no such folder"),
        (f"owner/na--me@{COMMIT}", "owner/na--me is no name of a model"),
    ],
)
def test_a_source_that_is_none_is_told(source: str, told: str, models: Path) -> None:
    # Given something that is no source, or may change
    # When weights are provided
    error = refused(source, models)
    # Then a sentence says what is wrong, without what might be a password
    assert told in str(error)
    assert "secret" not in str(error)
    assert error.exit_status == os.EX_CONFIG


def test_a_folder_is_used_where_it_is(share: Share, models: Path, tmp_path: Path) -> None:
    # Given a folder with right checksums
    share(FILES)
    before = sorted((tmp_path / "share").rglob("*"))
    # When it is the source, Then it is taken as it is
    provide_weights(str(tmp_path / "share"), models)
    assert sorted((tmp_path / "share").rglob("*")) == before
    assert not models.exists()


def test_a_folder_is_read_once(
    share: Share, models: Path, tmp_path: Path, events: Callable[[], list[str]]
) -> None:
    # Given a folder with checksums, and a place to remember them
    share(FILES)
    models.mkdir()
    # When the service starts twice, Then its files are read once
    for checked in (len(FILES), 0):
        provide_weights(str(tmp_path / "share"), models)
        assert events() == ["weights_checking"] * checked + ["weights_ready"]


def test_a_bad_folder_is_told(share: Share, models: Path, tmp_path: Path) -> None:
    # Given a folder, When it is empty, or lacks a file, or has another, Then that is told
    folder = tmp_path / "share"
    folder.mkdir()
    (folder / ".gitignore").touch()
    assert refused(str(folder), models).exit_status == os.EX_CONFIG
    share(FILES)
    (folder / "model/weights.bin").write_bytes(b"other")
    assert "is not what" in str(refused(str(folder), models))
    (folder / "model/weights.bin").unlink()
    error = refused(str(folder), models)
    assert "is missing" in str(error)
    assert error.exit_status == os.EX_DATAERR
    (folder / "SHA256SUMS").write_text("# no checksum")
    assert "line 1" in str(refused(str(folder), models))


def test_files_are_fetched_once(
    share: Share, models: Path, events: Callable[[], list[str]]
) -> None:
    # Given files with their checksums, far away
    source = share(FILES)
    # When the service starts, Then they are there, and nothing else is
    provide_weights(source, models)
    assert content_of(models) == FILES
    assert sorted(path.name for path in models.glob(".*")) == [".weights.json"]
    assert events() == ["weights_fetching", "weights_ready"]
    # And when it starts again, Then nothing is fetched
    provide_weights(source, models)
    assert events() == ["weights_ready"]


def test_progress_is_told(
    share: Share,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_settings: MakeSettings,
    logs: Logs,
) -> None:
    # Given a line for every piece
    monkeypatch.setattr(download, "PROGRESS_SECONDS", 0)
    configure_logging(make_settings())
    # When files are fetched
    provide_weights(share(FILES), models)
    # Then the lines say how much of all there is, and how fast it comes
    lines = [line for line in logs() if line["event"] == "weights_progress"]
    assert lines[-1]["percent"] == 100
    assert lines[0]["file"] == "model/weights.bin"
    assert {"source", "megabytes", "megabytes_per_second"} <= lines[0].keys()


@pytest.mark.parametrize("change", ["truncated", "deleted", "other content"])
def test_a_changed_file_is_fetched_anew(share: Share, models: Path, change: str) -> None:
    # Given weights that somebody has changed since
    source = share(FILES)
    provide_weights(source, models)
    path = models / "model/weights.bin"
    if change == "deleted":
        path.unlink()
    else:
        path.write_bytes(b"x" * (10 if change == "truncated" else 300_000))
    # When the service starts, Then they are right again
    provide_weights(source, models)
    assert content_of(models) == FILES


def test_right_files_are_not_fetched(
    share: Share, models: Path, events: Callable[[], list[str]]
) -> None:
    # Given the files, copied by hand, and a record that is broken
    source = share(FILES)
    provide_weights(source, models)
    (models / ".weights.json").write_text("{")
    events()
    # When the service starts, Then it reads them and takes them
    provide_weights(source, models)
    assert events() == ["weights_checking"] * len(FILES) + ["weights_ready"]


def test_what_an_earlier_start_has_left_is_used(share: Share, models: Path) -> None:
    # Given a partial file with its right beginning, and one that is rotten
    files = {"a": b"a" * 1000, "b": b"b" * 1000}
    source = share(files)
    for content, there in ((files["a"], files["a"][:999]), (files["b"], b"rotten")):
        partial = models / ".partial" / f"sha256-{hashlib.sha256(content).hexdigest()}"
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(there)
    # When the service starts, Then both files become right
    provide_weights(source, models)
    assert content_of(models) == files


def test_wrong_content_is_never_kept(
    share: Share, models: Path, tmp_path: Path, events: Callable[[], list[str]]
) -> None:
    # Given a file that is not what its checksum says
    source = share(FILES)
    (tmp_path / "share/model/weights.bin").write_bytes(b"x" * 300_000)
    # When it is fetched
    error = refused(source, models)
    # Then it is tried twice, and told, and nothing of it is left
    assert error.exit_status == os.EX_DATAERR
    assert "model/weights.bin" in str(error)
    assert events() == ["weights_fetching", "weights_damaged", "weights_damaged"]
    assert not [path for path in models.rglob("*") if path.is_file() and path.stat().st_size]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("../x", "no path inside"),
        ("/etc/x", "no path inside"),
        ("a/../../x", "no path inside"),
        ("a\\b", "no path inside"),
        (".partial/x", "a name that is used here"),
        (".weights.json", "a name that is used here"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(
    name: str, told: str, share: Share, models: Path, tmp_path: Path
) -> None:
    # Given checksums of a file outside the folder, or of our own files
    source = share({".partial/x": b"", ".weights.json": b""})
    (tmp_path / "share/SHA256SUMS").write_text(f"{'0' * 64}  {name}\n")
    # When they are fetched, Then nothing is written
    error = refused(source, models)
    assert told in str(error)
    assert error.exit_status == os.EX_DATAERR
    assert not models.exists()


def test_a_share_without_checksums_is_told(share: Share, models: Path, tmp_path: Path) -> None:
    # Given files without checksums, When fetched, Then the sentence says how to make them
    source = share(FILES)
    (tmp_path / "share/SHA256SUMS").unlink()
    assert "sha256sum {} + > SHA256SUMS" in str(refused(source, models))
    # And an empty folder, and one that names a file too many, are told apart
    (tmp_path / "share/SHA256SUMS").write_text(f"{'0' * 64}  more.bin\n")
    assert "has no more.bin" in str(refused(source, models))
    shutil.rmtree(tmp_path / "share")
    assert "no bucket" in str(refused(source, models))
    (tmp_path / "share").mkdir()
    assert "nothing at" in str(refused(source, models))


def test_a_pinned_source_needs_no_network(share: Share, models: Path, tmp_path: Path) -> None:
    # Given a pinned source, fetched once
    source = share(FILES)
    pinned = f"{source}@{pin_of(source)}"
    provide_weights(pinned, models)
    # When it is gone, Then the service starts all the same
    shutil.rmtree(tmp_path / "share")
    provide_weights(pinned, models)


def test_another_list_than_the_pinned_one_is_refused(share: Share, models: Path) -> None:
    # Given a pin, and a list of checksums that has changed
    source = share(FILES)
    pin = pin_of(source)
    share({**FILES, "more": b"more"})
    # When it is fetched, Then it is refused
    error = refused(f"{source}@{pin}", models)
    assert "is not the one that MODEL_SOURCE pins" in str(error)
    assert error.exit_status == os.EX_DATAERR


def test_a_new_version_takes_the_place_of_the_old(
    share: Share, models: Path, events: Callable[[], list[str]]
) -> None:
    # Given a version of three files, fetched
    source = share({"same": b"same", "changed": b"old", "gone": b"gone"})
    provide_weights(f"{source}@{pin_of(source)}", models)
    (models / "mine").write_bytes(b"mine")
    events()
    # When another is pinned
    share({"same": b"same", "changed": b"new", "more": b"more"})
    provide_weights(f"{source}@{pin_of(source)}", models)
    # Then what has changed is fetched, and what is gone is deleted
    assert content_of(models) == {
        **{"same": b"same", "changed": b"new", "more": b"more"},
        "mine": b"mine",
    }


def test_sources_that_contradict_each_other_are_refused(
    share: Share, models: Path, tmp_path: Path
) -> None:
    # Given two sources with different files of the same name
    source = share(FILES)
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "share", other)
    (other / "SHA256SUMS").write_text(f"{'0' * 64}  model/weights.bin\n")
    # When both are wanted, or one of them twice, Then neither is taken
    assert "different files" in str(refused(f"{source},{other.as_uri()}", models))
    assert "twice" in str(refused(f"{source}\n{source}", models))


@pytest.fixture
def _nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("name", "value", "exit_status", "told"),
    [
        ("AWS_ACCESS_KEY_ID", "id", os.EX_UNAVAILABLE, "Connection refused"),
        ("AWS_ACCESS_KEY_ID", "id\n", os.EX_UNAVAILABLE, "Connection refused"),
        ("AWS_REGION", " ", os.EX_UNAVAILABLE, "Connection refused"),
        ("AWS_SECRET_ACCESS_KEY", "sec\nret", os.EX_CONFIG, "AWS_SECRET_ACCESS_KEY has a line"),
        ("AWS_REGION", "here\nthere", os.EX_CONFIG, "AWS_REGION has a line break"),
        ("AWS_ENDPOINT_URL", "127.0.0.1:9000", os.EX_CONFIG, "AWS_ENDPOINT_URL is no address"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:port", os.EX_CONFIG, "is no address"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:99999", os.EX_CONFIG, "is no address"),
        ("AWS_ENDPOINT_URL", "http://[bad", os.EX_CONFIG, "is no address"),
        ("AWS_ENDPOINT_URL", "http://a host", os.EX_CONFIG, "is no address"),
    ],
)
@pytest.mark.usefixtures("_nobody_listens")
def test_a_bucket_that_is_set_wrongly_or_does_not_answer(
    name: str,
    value: str,
    exit_status: int,
    told: str,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given an endpoint where nobody listens, and a setting with something wrong in it
    monkeypatch.setenv(name, value)
    # When weights are wanted from there
    error = refused("s3://bucket/prefix", models)
    # Then that is told, without the value
    assert told in str(error)
    assert error.exit_status == exit_status
    assert "sec" not in str(error).replace("AWS_SECRET_ACCESS_KEY", "")


@pytest.mark.parametrize("kind", [BaseException, ValueError])
@pytest.mark.usefixtures("_nobody_listens")
def test_a_library_that_breaks_down_is_told(
    kind: type[BaseException], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a library that panics, or raises what it does not say it does
    monkeypatch.setattr(bucket, "from_url", Mock(side_effect=kind("a secret")))
    # When weights are wanted, Then nothing hangs, and the sentence says where to look
    error = refused("s3://bucket/prefix", models)
    assert "AWS_REGION" in str(error)
    assert "a secret" not in str(error)
    assert error.exit_status == os.EX_CONFIG


def test_a_full_disk_is_told_before(
    share: Share, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a disk with less room than the weights need
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000_000))
    # When they are wanted, Then nothing is begun
    error = refused(share(FILES), models)
    assert "10 MB free" in str(error)
    assert error.exit_status == os.EX_CANTCREAT
    assert content_of(models) == {}


def test_one_fetches_and_the_others_wait(
    share: Share,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_settings: MakeSettings,
    stderr: io.StringIO,
) -> None:
    # Given another process that fetches
    configure_logging(make_settings())
    monkeypatch.setattr(lease, "POLL_SECONDS", STEP)
    source = share(FILES)
    models.mkdir()
    held = SoftFileLease(models / lease.LEASE_FILE, lease_duration=lease.LEASE_SECONDS)
    held.acquire()
    waiting = threading.Thread(target=provide_weights, args=(source, models))
    # When a second comes
    waiting.start()
    deadline = time.monotonic() + PATIENCE
    while "weights_waiting" not in stderr.getvalue():
        assert time.monotonic() < deadline
        time.sleep(STEP)
    # Then it waits until the first has ended
    assert content_of(models) == {}
    held.release()
    waiting.join(PATIENCE)
    assert content_of(models) == FILES
    assert not (models / lease.LEASE_FILE).exists()


def test_another_release_is_not_waited_for(share: Share, models: Path) -> None:
    # Given a process of a release with another lease, that fetches
    models.mkdir()
    held = SoftFileLease(models / lease.LEASE_FILE, lease_duration=lease.LEASE_SECONDS + 1)
    # When a second comes, Then it ends, to be started again
    with held.acquire():
        error = refused(share(FILES), models)
    assert error.exit_status == os.EX_TEMPFAIL


def take_over(models: Path) -> None:
    """Do as a process does that takes over: its marker comes in the place of another's."""
    other = models / "other.lease"
    other.touch()
    other.replace(models / lease.LEASE_FILE)


@pytest.mark.parametrize("moved", [False, True])
def test_who_has_lost_the_lease_does_no_harm(
    moved: bool, share: Share, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an earlier version, and a fetch that stands still with its last byte
    old = {"empty": b"", "gone": b"gone"}
    provide_weights(share(old), models)
    record = (models / ".weights.json").read_bytes()
    complete = download._complete

    def still(source: Source, file: WeightFile, partial: Path, progress: Progress) -> bool:
        right = complete(source, file, partial, progress)
        take_over(models)
        if moved:
            partial.unlink()
            raise FileNotFoundError(2, "No such file or directory")
        return right

    monkeypatch.setattr(download, "_complete", still)
    # When another has taken over meanwhile, and has moved the file or has not
    error = refused(share({"empty": b"", "more": b"more"}), models)
    # Then the first ends with that, and has moved, deleted and recorded nothing
    assert error.exit_status == os.EX_TEMPFAIL
    assert "taken over" in str(error)
    assert (models / "gone").exists()
    assert not (models / "more").exists()
    assert (models / ".weights.json").read_bytes() == record


def test_who_has_lost_the_lease_deletes_nothing(
    share: Share, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a version that lacks a file of the one before
    provide_weights(share({"same": b"", "gone": b"gone"}), models)
    source = share({"same": b""})
    is_there = weights_repository._is_there

    def still(*arguments: Any) -> bool:
        there = is_there(*arguments)
        take_over(models)
        return there

    monkeypatch.setattr(weights_repository, "_is_there", still)
    # When another takes over before the clean-up, Then nothing is deleted
    assert refused(source, models).exit_status == os.EX_TEMPFAIL
    assert (models / "gone").exists()


def test_who_has_lost_the_lease_records_nothing(
    share: Share, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given files that are there, and a record that is broken
    source = share(FILES)
    provide_weights(source, models)
    (models / ".weights.json").write_text("{")
    monkeypatch.setattr(weights_repository, "matches", lambda *_: take_over(models) or True)
    # When another takes over while they are read, Then its record is left to it
    assert refused(source, models).exit_status == os.EX_TEMPFAIL
    assert (models / ".weights.json").read_text() == "{"


def test_leftovers_are_deleted(share: Share, models: Path) -> None:
    # Given the partial file of a version that is not wanted any more, and one that grows
    partial = models / ".partial"
    partial.mkdir(parents=True)
    (partial / "sha256-old").write_bytes(b"old")
    os.utime(partial / "sha256-old", (0, 0))
    (partial / "sha256-new").write_bytes(b"new")
    os.utime(partial / "sha256-new", (time.time() + 60,) * 2)
    # When weights are complete, Then the first is gone, and the second is left to its writer
    provide_weights(share(FILES), models)
    assert [path.name for path in partial.iterdir()] == ["sha256-new"]


def test_many_files_are_recorded_at_once(
    share: Share, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given many small files, to be fetched and in a folder
    source = share({f"{number}": b"" for number in range(100)})
    saved = Mock(side_effect=Record.save)
    monkeypatch.setattr(Record, "save", lambda record: saved(record))
    # When they come, Then the record is written at the beginning and at the end
    provide_weights(source, models)
    assert saved.call_count == 2
    # And when they are read, Then the same, and all are remembered
    provide_weights(str(tmp_path / "share"), models)
    assert saved.call_count == 4
    provide_weights(str(tmp_path / "share"), models)
    assert saved.call_count == 4


class FakeHub:
    """Answers as the hub does; the library and its HTTP client are the real ones."""

    def __init__(self) -> None:
        self.files = {
            "config.json": b"{}",
            "model.safetensors": b"s" * 1000,
            "pytorch_model.bin": b"b" * 1000,
            "onnx/model.onnx": b"o" * 1000,
        }
        self.broken_off = 0
        self.refusal: httpx2.Response | None = None
        self.ranges: list[str] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if self.refusal:
            return self.refusal
        if request.url.path.startswith("/api/models/"):
            assert request.url.path.endswith(f"/owner/name/revision/{COMMIT}")
            siblings = [self._sibling(*item) for item in self.files.items()]
            return httpx2.Response(200, json={"id": "owner/name", "siblings": siblings})
        name = request.url.path.removeprefix(f"/owner/name/resolve/{COMMIT}/")
        self.ranges.append(f"{name} {request.headers['Range']}")
        start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        return httpx2.Response(206, content=self._body(self.files[name][start:]))

    def _body(self, content: bytes) -> Iterator[bytes]:
        if self.broken_off and len(content) > self.broken_off:
            yield content[: max(self.broken_off, 0)]
            raise httpx2.ReadError("gone")
        yield content

    @staticmethod
    def _sibling(name: str, content: bytes) -> dict[str, object]:
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        sha256 = hashlib.sha256(content).hexdigest()
        large = {"size": len(content), "sha256": sha256, "pointerSize": 100}
        lfs = {} if name.endswith(".json") else {"lfs": large}
        return {"rfilename": name, "size": len(content), "blobId": git, **lfs}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    fake = FakeHub()
    set_client_factory(lambda: httpx2.Client(transport=httpx2.MockTransport(fake)))
    yield fake
    set_client_factory(default_client_factory)


def test_a_model_of_the_hub_is_fetched(hub: FakeHub, models: Path) -> None:
    # Given a model that has safetensors, and the same weights in other forms
    source = f"hf://owner/name@{COMMIT}"
    # When it is fetched
    provide_weights(source, models)
    # Then the other forms are left out
    assert content_of(models) == {
        f"owner/name/{name}": hub.files[name] for name in ("config.json", "model.safetensors")
    }
    # And what is pinned and there needs no hub
    hub.refusal = httpx2.Response(500)
    provide_weights(f"owner/name@{COMMIT}", models)


def test_without_safetensors_everything_is_fetched(hub: FakeHub, models: Path) -> None:
    # Given a model in another form alone, When fetched, Then that is taken
    del hub.files["model.safetensors"]
    provide_weights(f"owner/name@{COMMIT}", models)
    assert len(content_of(models)) == len(hub.files)


def test_a_broken_connection_costs_nothing(hub: FakeHub, models: Path) -> None:
    # Given connections that break off after 400 bytes
    hub.broken_off = 400
    # When a file of 1000 bytes is fetched, Then each goes on where the last one ended
    provide_weights(f"owner/name@{COMMIT}", models)
    assert hub.ranges == [
        "config.json bytes=0-",
        *(f"model.safetensors bytes={start}-" for start in (0, 400, 800)),
    ]
    assert content_of(models)["owner/name/model.safetensors"] == hub.files["model.safetensors"]


@pytest.mark.parametrize(
    ("status", "code", "exit_status", "told"),
    [
        (403, "GatedRepo", os.EX_NOPERM, "gated"),
        (404, "RevisionNotFound", os.EX_CONFIG, f"no commit {COMMIT}"),
        (401, "RepoNotFound", os.EX_CONFIG, "no model owner/name"),
        (401, "", os.EX_NOPERM, "refuses"),
        (503, "", os.EX_UNAVAILABLE, "HTTP 503"),
    ],
)
def test_what_the_hub_refuses_is_told(
    status: int, code: str, exit_status: int, told: str, hub: FakeHub, models: Path
) -> None:
    # Given a hub that refuses, When a model is fetched, Then a sentence says why
    message = {"X-Error-Message": "Invalid credentials in Authorization header"}
    hub.refusal = httpx2.Response(status, headers={"X-Error-Code": code, **message})
    error = refused(f"owner/name@{COMMIT}", models)
    assert told in str(error)
    assert error.exit_status == exit_status


@pytest.mark.parametrize("content", ["<html>", "[]", "{}"])
def test_what_is_no_hub_is_told(content: str, hub: FakeHub, models: Path) -> None:
    # Given a server that is none, When a model is fetched, Then a sentence says so
    hub.refusal = httpx2.Response(200, content=content)
    error = refused(f"owner/name@{COMMIT}", models)
    assert "does not answer as a hub does" in str(error)
    assert error.exit_status == os.EX_UNAVAILABLE


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("HF_ENDPOINT", "http://[bad", "HF_ENDPOINT is no address"),
        ("HF_ENDPOINT", "http://127.0.0.1:port", "HF_ENDPOINT is no address"),
        ("HF_ENDPOINT", "127.0.0.1:9000", "HF_ENDPOINT is no address"),
        ("HF_TOKEN", "비밀", "HF_TOKEN"),
        ("HTTP_PROXY", "foo://비밀", "HTTP_PROXY"),
    ],
)
def test_a_hub_that_is_set_wrongly_is_told(
    name: str,
    value: str,
    told: str,
    request: pytest.FixtureRequest,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a setting that no request can be made with
    if name == "HTTP_PROXY":  # read by the real client
        set_client_factory(default_client_factory)
    else:
        request.getfixturevalue("hub")
    monkeypatch.setenv(name, value)
    # When a model is fetched, Then a sentence names the setting, without its value
    error = refused(f"owner/name@{COMMIT}", models)
    assert told in str(error)
    assert "비밀" not in str(error)
    assert error.exit_status == os.EX_CONFIG


def test_a_hub_that_is_out_of_reach_is_told(hub: FakeHub, models: Path) -> None:
    # Given a connection that breaks before anything has come, again and again
    hub.broken_off = -1
    # When a model is fetched, Then that is told
    error = refused(f"owner/name@{COMMIT}", models)
    assert "ReadError" in str(error)
    assert error.exit_status == os.EX_UNAVAILABLE


def test_names_of_the_hub_that_lead_elsewhere_are_refused(hub: FakeHub, models: Path) -> None:
    # Given a model with a file outside its folder, When fetched, Then nothing is written
    hub.files["../../x"] = b"x"
    assert refused(f"owner/name@{COMMIT}", models).exit_status == os.EX_DATAERR
    assert not models.exists()
