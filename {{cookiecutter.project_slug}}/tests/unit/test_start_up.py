import errno
import os
import socket
from pathlib import Path
from types import ModuleType
from unittest.mock import Mock

import pytest

from app import start_up
from app.ai.devices import DeviceError
from app.ai.engines import Configuration
from app.core.config import Settings
from app.repositories.weights_repository import WeightsError
from app.start_up import StartUpError, bind, check_writable, prepare
from tests.conftest import MakeSettings


@pytest.fixture
def settings(make_settings: MakeSettings, tmp_path: Path) -> Settings:
    settings = make_settings(data_dir=tmp_path / "data", models_dir=tmp_path / "models")
    return settings.model_copy(update={"port": 0, "metrics_port": 0})


def configuration(settings: Settings, device: Mock | None = None) -> Configuration:
    module = ModuleType("app.ai.devices.double")
    module.prepare = device or Mock()  # type: ignore[attr-defined]
    return Configuration(settings, {}, {}, module)


def test_a_start_makes_its_folders_and_holds_its_port(settings: Settings) -> None:
    # Given settings whose folders are not there
    # When the service prepares
    with prepare(configuration(settings)) as listener:
        # Then they are, and the port is the service's own, though nobody is let in yet
        assert settings.data_dir.is_dir()
        assert (settings.static_dir / "tts").is_dir()
        assert listener.proto == socket.IPPROTO_TCP  # else every small answer waits for 40 ms
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(listener.getsockname(), timeout=1)


def test_a_device_that_is_not_there_is_told_before_anything_is_fetched(settings: Settings) -> None:
    # Given a device that cannot be used
    device = Mock(side_effect=DeviceError("There is no GPU."))
    # When the service prepares, Then it says so, and has made nothing
    with pytest.raises(StartUpError, match=r"There is no GPU\.") as refused:
        prepare(configuration(settings, device))
    assert refused.value.exit_status == os.EX_UNAVAILABLE
    assert not settings.data_dir.exists()


def test_weights_that_cannot_be_had_keep_their_own_exit_status(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a source that refuses
    refusal = Mock(side_effect=WeightsError(os.EX_DATAERR, "No."))
    monkeypatch.setattr(start_up, "provide_weights", refusal)
    # When the service prepares, Then its sentence and its status come through
    with pytest.raises(StartUpError, match="No") as refused:
        prepare(configuration(settings))
    assert refused.value.exit_status == os.EX_DATAERR


def test_an_error_that_nobody_foresaw_is_a_sentence_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a library that stumbles over a setting of its own
    monkeypatch.setattr(start_up, "provide_weights", Mock(side_effect=ValueError("abc")))
    # When the service prepares, Then there is a sentence and a status
    with pytest.raises(StartUpError, match=r"ValueError \(abc\)") as refused:
        prepare(configuration(settings))
    assert refused.value.exit_status == os.EX_SOFTWARE


@pytest.mark.parametrize(
    ("number", "sentence", "status"),
    [
        (errno.EACCES, f"cannot be written by uid {os.getuid()}", os.EX_NOPERM),
        (errno.EROFS, "Read-only file system", os.EX_NOPERM),
        (errno.ENOSPC, "no space left", os.EX_CANTCREAT),
    ],
)
def test_a_folder_that_cannot_be_written_is_named(
    number: int, sentence: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a volume that the system refuses to write
    failing = Mock(side_effect=OSError(number, os.strerror(number)))
    monkeypatch.setattr(start_up, "TemporaryFile", failing)
    # When it is checked, Then folder, user and reason are told
    with pytest.raises(StartUpError, match=sentence) as refused:
        check_writable(tmp_path)
    assert str(tmp_path) in str(refused.value)
    assert refused.value.exit_status == status


def test_a_port_that_is_taken_is_named(settings: Settings) -> None:
    # Given a port where another service listens
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        # When this one wants it, Then it says what to do
        with pytest.raises(StartUpError, match=f"Port {port} on 127.0.0.1 is taken") as refused:
            bind(settings.model_copy(update={"port": port}))
    assert refused.value.exit_status == os.EX_OSERR


def test_an_address_of_another_machine_is_refused(settings: Settings) -> None:
    # Given an address that is not this machine's (RFC 5737), When bound, Then that is told
    with pytest.raises(StartUpError, match="cannot be used"):
        bind(settings.model_copy(update={"host": "192.0.2.1"}))


def test_a_taken_port_of_the_metrics_is_told(settings: Settings) -> None:
    # Given a port that somebody else listens on
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = settings.model_copy(update={"metrics_port": other.getsockname()[1]})
        # When the service prepares, Then it says so, and what to set
        with pytest.raises(StartUpError, match=r"is taken.*METRICS_PORT") as refused:
            prepare(configuration(taken))
    assert refused.value.exit_status == os.EX_OSERR
