import errno
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock, patch

import pytest

from app.core import environment
from app.core.config import Settings, SettingsError, SettingsSource, read_settings
from app.core.environment import SECRETS_DIR_VARIABLE, complete_environment
from tests.conftest import DEFAULTS, WriteSettings

SECRET = "a-value-that-nobody-may-see"


@pytest.fixture(autouse=True)
def variables() -> Iterator[None]:
    """Put the process's environment back afterwards."""
    with patch.dict(os.environ):
        yield


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of secret files, still empty."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setenv(SECRETS_DIR_VARIABLE, str(folder))
    return folder


@pytest.fixture(autouse=True)
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of the ``.env`` that is read; there is none yet."""
    file = tmp_path / ".env"
    monkeypatch.setattr(environment, "ENV_FILE", file)
    return file


def refusal(path: Path) -> str:
    """Return the sentence with which the environment is refused: it names the path, no value."""
    with pytest.raises(SettingsError) as refused:
        complete_environment()
    sentence = str(refused.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    assert SECRET not in "".join(traceback.format_exception(refused.value))
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
    return sentence


def test_the_environment_wins_then_the_secret_files_then_the_env_file(
    secrets: Path, env_file: Path
) -> None:
    # Given variables in all three places, in the last two, and in the last alone
    os.environ["FIRST_KEY"] = "environment"
    for name in ("FIRST_KEY", "SECOND_KEY"):
        (secrets / name).write_text("secret file")
    env_file.write_text("FIRST_KEY=env\nSECOND_KEY=env\nTHIRD_KEY=env\n")
    # When the environment is completed
    complete_environment()
    # Then each has the value of the first place
    names = ("FIRST_KEY", "SECOND_KEY", "THIRD_KEY")
    assert [os.environ[name] for name in names] == ["environment", "secret file", "env"]


def test_settings_come_from_secret_files(
    secrets: Path, env_file: Path, write_settings: WriteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given keys in a secret file, in .env and in settings.toml, and a variable that is empty
    write_settings(**DEFAULTS)
    monkeypatch.setenv("API_KEYS", "")
    (secrets / "API_KEYS").write_text("me:of-the-secret-file\n")
    env_file.write_text("API_KEYS=me:of-the-env-file\n")
    monkeypatch.setitem(SettingsSource.model_config, "env_file", env_file)
    monkeypatch.setitem(Settings.model_config, "env_file", env_file)
    # When the settings are read, Then the secret file's are taken
    complete_environment()
    (settings,) = read_settings([Settings])
    assert isinstance(settings, Settings)
    assert settings.api_keys["me"].get_secret_value() == "of-the-secret-file"


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("a value\n", "a value"),
        ("a value\r\n", "a value"),
        ("한글", "한글"),
        ("-----BEGIN-----\nabc\n-----END-----\n", "-----BEGIN-----\nabc\n-----END-----"),
        (" = '#' ", " = '#' "),
    ],
)
def test_a_value_is_what_the_file_holds(secrets: Path, content: str, value: str) -> None:
    # Given a secret file, When read, Then only the line end of an editor is taken off
    (secrets / "HF_TOKEN").write_bytes(content.encode())
    complete_environment()
    assert os.environ["HF_TOKEN"] == value


def test_an_empty_secret_file_hides_nothing(secrets: Path, env_file: Path) -> None:
    # Given a secret that was made of nothing, When completed, Then .env's value stands
    (secrets / "HF_TOKEN").write_text("\n")
    env_file.write_text("HF_TOKEN=env\n")
    complete_environment()
    assert os.environ["HF_TOKEN"] == "env"


def test_names_that_are_no_variables_are_left_alone(secrets: Path) -> None:
    # Given what else lies in such folders, Kubernetes' own links and folders among it
    before = dict(os.environ)
    for name in ("my.pem", "api_keys", "1ST_KEY", "API-KEY", ".HIDDEN"):
        (secrets / name).write_bytes(b"\xff")
    (secrets / "..data").symlink_to(secrets / "nowhere")
    (secrets / "kubernetes.io").mkdir()
    # When completed, Then nobody has looked at it
    complete_environment()
    assert dict(os.environ) == before


def test_a_link_as_kubernetes_makes_them_is_followed(secrets: Path) -> None:
    # Given a file behind two links, When completed, Then its value is there
    (secrets / "..2025").mkdir()
    (secrets / "..2025" / "HF_TOKEN").write_text("a value")
    (secrets / "..data").symlink_to("..2025")
    (secrets / "HF_TOKEN").symlink_to("..data/HF_TOKEN")
    complete_environment()
    assert os.environ["HF_TOKEN"] == "a value"


def test_a_folder_that_is_not_there_is_fine(secrets: Path) -> None:
    # Given no secret files, When completed, Then nothing happens
    secrets.rmdir()
    before = dict(os.environ)
    complete_environment()
    assert dict(os.environ) == before


def test_the_folder_is_dockers_own_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given no folder in the environment, or an empty name, When completed, Then it is the default
    (tmp_path / "HF_TOKEN").write_text("a value")
    monkeypatch.setattr(environment, "SECRETS_DIR", tmp_path)
    monkeypatch.setenv(SECRETS_DIR_VARIABLE, "")
    complete_environment()
    assert os.environ["HF_TOKEN"] == "a value"


@pytest.mark.parametrize("content", [b"\xff" + SECRET.encode(), SECRET.encode() + b"\0"])
def test_bytes_that_are_no_text_are_refused(secrets: Path, content: bytes) -> None:
    # Given a secret of bytes that no variable can hold, When completed, Then the file is named
    file = secrets / "HF_TOKEN"
    file.write_bytes(content)
    assert "UTF-8" in refusal(file)


@pytest.mark.parametrize("kind", ["folder", "dangling link"])
def test_what_is_no_file_is_refused(secrets: Path, kind: str) -> None:
    # Given a folder, as Docker makes where a mounted file is missing, or a link to nothing
    file = secrets / "HF_TOKEN"
    file.mkdir() if kind == "folder" else file.symlink_to(secrets / "nowhere")
    # When completed, Then it is named
    assert "cannot be read" in refusal(file)


@pytest.mark.parametrize("method", ["read_bytes", "iterdir"])
def test_what_others_may_not_read_is_told_with_the_user(
    secrets: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a file, or the whole folder, that belongs to root alone
    file = secrets / "HF_TOKEN"
    file.write_text(SECRET)
    denied = Mock(side_effect=PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    monkeypatch.setattr(Path, method, denied)
    # When completed, Then path, reason and user are told
    sentence = refusal(file if method == "read_bytes" else secrets)
    assert f"(Permission denied): let uid {os.getuid()} read it" in sentence


def test_a_file_that_is_not_needed_is_not_read(secrets: Path) -> None:
    # Given a secret file that is broken, and its variable in the environment
    (secrets / "HF_TOKEN").write_bytes(b"\xff")
    os.environ["HF_TOKEN"] = "environment"
    # When completed, Then the environment has won
    complete_environment()
    assert os.environ["HF_TOKEN"] == "environment"


def test_an_env_file_that_is_no_text_is_refused(env_file: Path, secrets: Path) -> None:
    # Given a .env that an editor saved in another encoding, When completed, Then it is named
    env_file.write_bytes(b"HF_TOKEN=\xff" + SECRET.encode())
    assert "UTF-8" in refusal(env_file)
