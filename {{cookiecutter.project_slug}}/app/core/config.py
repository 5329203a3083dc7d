"""Typed settings, from the environment, then ``.env``, then ``settings.toml``, then the defaults.

Secret files count as the environment: see `app.core.environment`.

Settings that only one engine has stand in that engine's module, as a subclass of
`SettingsSource`; `read_settings` reads all of them and reports every problem at once.
"""

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

ROOT = Path(__file__).resolve().parents[2]
SETTINGS_FILE = ROOT / "settings.toml"
SETTINGS_FILE_VARIABLE = "SETTINGS_FILE"
PLACEHOLDER = "change-me"

Language = Literal["ko", "en", "auto"]
MessageLanguage = Literal["ko", "en"]


class SettingsError(Exception):
    """Settings with which the service cannot start; the text lists every problem."""


class SettingsSource(BaseSettings):
    """Where every settings class reads from."""

    model_config = SettingsConfigDict(
        env_file=ROOT / ".env",
        env_ignore_empty=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic names it
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put ``settings.toml`` behind the environment and ``.env``."""
        toml = TomlConfigSettingsSource(settings_cls, settings_file())
        return init_settings, env_settings, dotenv_settings, toml


class Settings(SettingsSource):
    """Settings that do not depend on the engines."""

    service_name: str = "voice-service"
    """Name in logs and in the API's title."""
    service_version: str = "dev"
    """Release that runs, as ``/health`` and ``/ready`` tell it."""
    host: str = "127.0.0.1"
    """Address the server listens on; containers set 0.0.0.0."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    """TCP port the server listens on."""
    metrics_host: str = "127.0.0.1"
    """Address that Prometheus reads the metrics at; never a public one."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 9464
    """TCP port of the metrics; 0 for none."""
    replicas: Annotated[int, Field(ge=1)] = 1
    """How many of this service there should be, for an alert that tells when one is missing."""
    log_format: Literal["json", "console"] = "json"
    """JSON lines for machines, or readable lines for a terminal."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is written."""
    log_texts: bool = False
    """Also write what was asked and answered: for a development machine only."""
    drain_seconds: Annotated[float, Field(ge=0)] = 0.0
    """Seconds after SIGTERM in which it still answers but is not ready, so that proxies leave."""
    shutdown_seconds: Annotated[int, Field(ge=1)] = 60
    """Seconds that running requests have to finish after SIGTERM and the drain."""

    auth_required: bool = True
    """False lets everybody in: for a development machine only."""
    api_keys: Annotated[dict[str, SecretStr], NoDecode] = Field(
        default_factory=dict, validate_default=True
    )
    """Callers and their keys, as ``name:key,name:key``; the name is the logs' ``user_id``."""
    cors_origins: Annotated[list[str], NoDecode] = Field(default_factory=list)
    """Origins of web pages that may call, separated by commas; none by default."""

    device: str = "cpu"
    """Where local models run: a module of ``app/ai/devices``."""
    spoken_language: Language = "auto"
    """Language of the callers' speech; ``auto`` lets the model detect it."""
    message_language: MessageLanguage = "en"
    """Language of the sentences that the service itself writes."""

    stt_engine: str
    """Module of ``app/ai/stt`` that recognises speech."""
    stt_model: str = "small"
    """A Whisper size (``small``), a folder or a file of weights, or a hub name."""
    stt_beam_size: Annotated[int, Field(ge=1, le=16)] = 5
    """Beams of the search; 1 is greedy and up to five times faster."""
    stt_vad: bool = True
    """Look for speech first, so that silence and noise give no invented sentence."""
    stt_workers: Annotated[int, Field(ge=1, le=64)] = 2
    """Recordings transcribed at the same time; they share one copy of the weights."""
    stt_threads: Annotated[int, Field(ge=1, le=64)] = 1
    """CPU threads of one transcription."""
    stt_queue: Annotated[int, Field(ge=1)] = 16
    """Recordings that may wait; the next one is answered with 429."""

    llm_engine: str
    """Module of ``app/ai/llm`` that writes answers."""
    llm_model: str
    """A folder of weights, a hub name, or the name that a server has for the model."""
    llm_workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Answers written at the same time."""
    llm_queue: Annotated[int, Field(ge=1)] = 32
    """Answers that may wait; the next one is answered with 429."""
    llm_max_tokens: Annotated[int, Field(ge=1)] = 256
    """Longest answer when the caller names no limit."""
    llm_max_tokens_limit: Annotated[int, Field(ge=1)] = 1024
    """Most tokens a caller may ask for."""
    llm_temperature: Annotated[float, Field(ge=0, le=2)] = 0.3
    """Sampling temperature when the caller names none; 0 is greedy."""
    system_prompt: str = "Answer in one to three short sentences that sound natural when spoken."
    """First message of every conversation on ``/api``."""

    tts_engine: str
    """Module of ``app/ai/tts`` that speaks."""
    tts_voice: str
    """Voice when the caller names none."""
    tts_workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Sentences spoken at the same time."""
    tts_queue: Annotated[int, Field(ge=1)] = 64
    """Sentences that may wait; the next one is answered with 429."""
    tts_slow_speed: Annotated[float, Field(ge=0.25, le=1)] = 0.8
    """Speed of the ``slow`` option, 1 being normal."""
    tts_max_characters: Annotated[int, Field(ge=1)] = 4096
    """Longest text that is spoken (OpenAI's own limit)."""

    upload_max_bytes: Annotated[int, Field(ge=1024)] = 10 * 1024 * 1024
    """Largest request body, in bytes."""
    audio_max_seconds: Annotated[float, Field(gt=0)] = 600.0
    """Longest recording, in seconds after decoding."""
    decode_timeout_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Wall time that ffmpeg has for one file."""

    static_dir: Path = ROOT / "static"
    """Folder served under ``/static``; spoken answers lie in its ``tts`` folder."""
    data_dir: Path = ROOT / "data"
    """Folder of data that outlives the process (a volume in a container)."""
    models_dir: Path = ROOT / "models"
    """Folder of the model weights (a volume in a container)."""
    model_source: str = ""
    """Where weights are fetched from before the start: folders, ``owner/name@commit`` of the hub,
    ``s3://bucket/prefix``, separated by commas; empty leaves it to the engines."""
    tts_keep_hours: Annotated[float, Field(ge=1, le=24 * 30)] = 48.0
    """Age at which a spoken answer is deleted."""
    tts_cleanup_minutes: Annotated[float, Field(gt=0)] = 30.0
    """Time between two clean-ups."""

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: Any) -> Any:
        """Read ``name:key,name:key``."""
        if not isinstance(value, str):
            return value
        pairs = [pair.strip() for pair in value.split(",") if pair.strip()]
        if not all(name and key for name, _, key in (pair.partition(":") for pair in pairs)):
            raise ValueError("write name:key, and a comma between two of them")
        return dict(pair.split(":", 1) for pair in pairs)

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: Any) -> Any:
        """Read a list separated by commas."""
        if not isinstance(value, str):
            return value
        return [origin.strip() for origin in value.split(",") if origin.strip()]

    @field_validator("cors_origins")
    @classmethod
    def _refuse_any_origin(cls, value: list[str]) -> list[str]:
        if "*" in value:
            raise ValueError("name each origin; * would let every web page call")
        return value

    @field_validator("api_keys")
    @classmethod
    def _check_keys(cls, value: dict[str, SecretStr], info: ValidationInfo) -> dict[str, SecretStr]:
        if not info.data.get("auth_required", True):
            return value
        if not value:
            raise ValueError("is empty: set name:key, or AUTH_REQUIRED=false")
        if any(PLACEHOLDER in key.get_secret_value() for key in value.values()):
            raise ValueError(f"still holds {PLACEHOLDER}: put a random key there")
        return value


S = TypeVar("S", bound=SettingsSource)


def settings_file() -> Path:
    """Return the TOML file that is read: ``$SETTINGS_FILE``, or ``settings.toml``."""
    return Path(os.environ.get(SETTINGS_FILE_VARIABLE, SETTINGS_FILE))


def read_settings(
    classes: Sequence[type[SettingsSource]], found: Sequence[str] = ()
) -> list[SettingsSource]:
    """Read each settings class.

    Args:
        classes: in the order of the instances wanted.
        found: problems that are known already, to be reported with the others.

    Returns:
        One instance for each class, in order.

    Raises:
        SettingsError: with a line for every setting of every class that is missing or
            impossible, and for every name in ``settings.toml`` that no class knows.
    """
    read: list[SettingsSource] = []
    # Without an engine's own settings, its names in the file cannot be judged.
    problems = list(found) or unknown_names(classes)
    for cls in classes:
        try:
            read.append(cls())
        except ValidationError as error:
            problems += [_line(cls, problem) for problem in error.errors()]
    if problems:
        text = "".join(f"\n  - {line}" for line in dict.fromkeys(problems))
        raise SettingsError(f"The service cannot start with these settings:{text}")
    return read


def read_settings_file() -> dict[str, Any]:
    """Return what ``settings.toml`` says.

    Raises:
        SettingsError: the file is missing or is no TOML.
    """
    file = settings_file()
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file} cannot be read: {error}") from error


def unknown_names(classes: Sequence[type[SettingsSource]]) -> list[str]:
    """Return a sentence for each name in ``settings.toml`` that no class has."""
    file, names = settings_file(), read_settings_file()
    known = {name for cls in classes for name in cls.model_fields}
    return [
        f"{name}: {file.name} sets it, but no setting has this name"
        for name in names
        if name not in known
    ]


def _line(cls: type[SettingsSource], problem: Any) -> str:
    """Return one line for a pydantic error, without the value: it may be a secret."""
    name = str(problem["loc"][0])
    about = (cls.model_fields[name].description or "").strip().splitlines()
    reason = (
        "is missing"
        if problem["type"] == "missing"
        else problem["msg"].removeprefix("Value error, ")
    )
    return f"{name.upper()}: {reason}" + (f" ({about[0]})" if about else "")
