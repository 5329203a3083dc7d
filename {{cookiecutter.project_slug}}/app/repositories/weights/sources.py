"""Reads ``MODEL_SOURCE``."""

import os
import re
from pathlib import Path

from app.repositories.weights.base import Source, WeightsError, is_address

BUCKET = re.compile(
    r"((?:(?:s3|gs|az)://[^/@?#]|file:///)[^@?#]*?)/?(?:@([0-9a-f]{64}))?", re.IGNORECASE
)
HUB = re.compile(r"(?:hf://)?(\w[\w.-]*/\w[\w.-]*)(?:@([^@/]*))?", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}", re.IGNORECASE)
EXAMPLE = "Qwen/Qwen2.5-0.5B-Instruct@7ae557604adf67be50417f59c2c2f167def9a775"


def parse_sources(text: str) -> list[Path | Source]:
    """Return the sources that ``MODEL_SOURCE`` lists; a folder is a path.

    Raises:
        WeightsError: something in it is no source, or a model of the hub has no commit.
    """
    return [_parse(part) for part in re.split(r"[,\s]+", text) if part]


def _parse(text: str) -> Path | Source:
    # Each source's library is imported here: a service that does not use it does not wait for it.
    if match := BUCKET.fullmatch(text):
        from app.repositories.weights.bucket import Bucket

        return Bucket(match[1], (match[2] or "").lower())
    hub = HUB.fullmatch(text)
    scheme, separator, _ = text.partition("://")
    if not separator and (hub is None or text.startswith(".") or Path(text).is_dir()):
        try:
            return Path(text).expanduser()
        except RuntimeError as error:  # ~user, and there is no such user
            sentence = f"MODEL_SOURCE names {text}, but there is no such folder."
            raise WeightsError(os.EX_CONFIG, sentence) from error
    if hub is None:
        # The text itself is not told: somebody may have put a password into it.
        sentence = (
            f"MODEL_SOURCE has a source of {scheme}:// that is none: write a folder, "
            "hf://owner/name@commit, or s3://bucket/prefix with or without @ and the SHA-256 of "
            "its SHA256SUMS, and a comma between two of them."
        )
        raise WeightsError(os.EX_CONFIG, sentence)
    if not COMMIT.fullmatch(hub[2] or ""):
        sentence = (
            f"MODEL_SOURCE names {text} without a commit, and a branch or a tag may change: add "
            f"the 40 digits from the model's page, as in {EXAMPLE}; a folder begins with ./ or /."
        )
        raise WeightsError(os.EX_CONFIG, sentence)
    if not is_address(os.environ.get("HF_ENDPOINT") or "https://unset"):
        # Checked before the import, which reads it and would fail.
        sentence = "HF_ENDPOINT is no address: write https://host, or http://host:port."
        raise WeightsError(os.EX_CONFIG, sentence)
    from app.repositories.weights.hub import Hub

    return Hub(hub[1], hub[2].lower())
