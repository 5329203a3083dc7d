"""JSON logs: one line an event, with the request id, secrets masked; uvicorn's lines as well."""

import logging
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import structlog
from pydantic import SecretStr
from structlog.typing import EventDict, Processor, WrappedLogger

from app.core.config import Settings, SettingsSource
from app.utils.masking import MASK, mask

USER_KEY = "user_id"
SECRET_NAME = re.compile(r"(?i)api_?key|authorization|cookie|password|secret|(^|_)token$")
# uvicorn's own access log would repeat what RequestLog writes, without its fields.
QUIET_LOGGERS = {
    "uvicorn.access": logging.WARNING,
    "httpx": logging.WARNING,
    "httpx2": logging.WARNING,
}


def get_logger(name: str) -> Any:
    """Return the logger of a module."""
    return structlog.stdlib.get_logger(name)


def bind_user(scope: MutableMapping[str, Any], user: str) -> None:
    """Remember who called, for the line that `RequestLog` writes at the end of the request."""
    scope.setdefault("state", {})[USER_KEY] = user
    structlog.contextvars.bind_contextvars(user_id=user)


def configure_logging(settings: Settings, others: Iterable[SettingsSource] = ()) -> None:
    """Send every log of the process to standard error, in the form that the settings name.

    Args:
        settings: say the form; their keys are masked.
        others: further settings with secrets to mask, those of the engines.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        drop_colours,
        Masker(secrets_of(settings, others)),
    ]
    as_json = settings.log_format == "json"
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    for name, level in QUIET_LOGGERS.items():
        logging.getLogger(name).setLevel(level)


def secrets_of(settings: Settings, others: Iterable[SettingsSource]) -> tuple[str, ...]:
    """Return every secret that settings hold."""
    values = [*settings.api_keys.values(), *(value for own in others for _, value in own)]
    return tuple(value.get_secret_value() for value in values if isinstance(value, SecretStr))


def drop_colours(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Leave out uvicorn's second form of each message, which is for terminals."""
    event.pop("color_message", None)
    return event


class Masker:
    """A processor that hides secrets and personal numbers in every value of an event."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = secrets

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Return the event, masked."""
        return {name: self._masked(name, value) for name, value in event.items()}

    def _masked(self, name: str, value: Any) -> Any:
        if name.startswith("_"):  # structlog's own bookkeeping
            return value
        if SECRET_NAME.search(name):
            return MASK
        if isinstance(value, str):
            return mask(value, self._secrets)
        if isinstance(value, Mapping):
            return {key: self._masked(str(key), item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._masked(name, item) for item in value]
        return value
