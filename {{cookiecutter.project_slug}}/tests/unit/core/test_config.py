import tomllib
from functools import partial

import pytest

from app.ai.engines import ModuleNames, read_configuration
from app.core.config import ROOT, Settings, SettingsError, read_settings
from tests.conftest import DEFAULTS, MakeSettings, WriteSettings


def problems() -> list[str]:
    """Return the lines of the message with which the service refuses to start."""
    with pytest.raises(SettingsError) as refused:
        read_settings([Settings, ModuleNames])
    return str(refused.value).splitlines()[1:]


def test_the_environment_wins_over_the_file(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a setting in both
    monkeypatch.setenv("PORT", "9000")
    # When the settings are read
    # Then the environment's is taken
    assert make_settings(port=8000).port == 9000


def test_an_empty_variable_is_none(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a variable that is set to nothing, as in a copied .env
    monkeypatch.setenv("TTS_VOICE", "")
    # When the settings are read, Then the file's value stands
    assert make_settings(tts_voice="M1").tts_voice == "M1"


def test_every_problem_is_told_at_once(
    write_settings: WriteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given missing, impossible and unknown settings together
    write_settings(**{**DEFAULTS, "api_keys": "", "sst_model": "small", "port": 0})
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example,*")
    monkeypatch.setenv("STT_BEAM_SIZE", "many")
    # When the settings are read
    lines = "\n".join(problems())
    # Then each is told, by its name
    for name in ("sst_model", "PORT", "CORS_ORIGINS", "STT_BEAM_SIZE", "API_KEYS"):
        assert f"- {name}" in lines


def test_what_is_missing_is_told_with_its_meaning(write_settings: WriteSettings) -> None:
    # Given a file without what has no default
    write_settings(auth_required=False)
    # When the settings are read
    lines = problems()
    # Then each missing setting has one line, which says what it is
    names = [line.split(":")[0].strip(" -") for line in lines]
    assert names == ["STT_ENGINE", "LLM_ENGINE", "LLM_MODEL", "TTS_ENGINE", "TTS_VOICE"]
    assert all("is missing (" in line for line in lines)


def test_every_unknown_engine_is_told_at_once(write_settings: WriteSettings) -> None:
    # Given three engines that do not exist, and another problem
    write_settings(**DEFAULTS, port=0)
    # When the whole configuration is read
    with pytest.raises(SettingsError) as refused:
        read_configuration()
    # Then all four are told
    for name in ("STT_ENGINE", "LLM_ENGINE", "TTS_ENGINE", "PORT"):
        assert name in str(refused.value)


@pytest.mark.parametrize("content", [None, "port ="])
def test_a_file_that_cannot_be_read_is_told(
    write_settings: WriteSettings, content: str | None
) -> None:
    # Given no file, or one that is no TOML
    file = write_settings()
    file.unlink()
    if content:
        file.write_text(content)
    # When the settings are read, Then the message names the file
    for read in (partial(read_settings, [Settings]), read_configuration):
        with pytest.raises(SettingsError, match=str(file)):
            read()


@pytest.mark.parametrize(
    ("keys", "told"),
    [("", "empty"), ("me:change-me", "change-me"), ("me", "name:key"), (":key", "name:key")],
)
def test_keys_that_protect_nothing_are_refused(
    write_settings: WriteSettings, keys: str, told: str
) -> None:
    # Given no key, the placeholder, or no pair
    write_settings(**{**DEFAULTS, "api_keys": keys})
    # When the settings are read, Then that is the only problem, and the value is not repeated
    (line,) = problems()
    assert "API_KEYS" in line
    assert told in line


def test_keys_are_named_and_hidden(make_settings: MakeSettings) -> None:
    # Given two callers, one with a colon in the key
    settings = make_settings(api_keys="a:1, b:2:3,")
    # When the settings are shown
    # Then the keys are known by the callers' names, and never shown
    assert {name: key.get_secret_value() for name, key in settings.api_keys.items()} == {
        "a": "1",
        "b": "2:3",
    }
    assert "2:3" not in repr(settings)


def test_a_table_and_a_list_do_as_well(write_settings: WriteSettings) -> None:
    # Given keys and origins in TOML's own form
    file = write_settings(**{**DEFAULTS, "cors_origins": ["https://a.example"]})
    lines = [line for line in file.read_text().splitlines() if not line.startswith("api_keys")]
    file.write_text("\n".join([*lines, "[api_keys]", 'me = "1"']))
    # When they are read, Then they are the same as the written-out form
    (settings,) = read_settings([Settings])
    assert isinstance(settings, Settings)
    assert settings.api_keys["me"].get_secret_value() == "1"
    assert settings.cors_origins == ["https://a.example"]


def test_keys_may_be_left_out_where_nobody_asks_for_them(make_settings: MakeSettings) -> None:
    # Given no keys, on a development machine, When read, Then that is fine
    assert make_settings(api_keys="", auth_required=False).api_keys == {}


def test_every_setting_has_a_description() -> None:
    # Given the settings, When one is missing, Then the message can say what it is
    assert [n for n, field in Settings.model_fields.items() if not field.description] == []


def test_the_projects_own_settings_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given settings.toml as it is committed, and a key
    monkeypatch.setenv("API_KEYS", "me:1")
    # When the configuration is read
    configuration = read_configuration()
    # Then every engine that it names is here
    names = tomllib.loads((ROOT / "settings.toml").read_text("utf-8"))
    for task, module in configuration.modules.items():
        assert module.__name__ == f"app.ai.{task}.{names[f'{task}_engine'].replace('-', '_')}"
