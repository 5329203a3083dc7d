"""Asks a service that was just released what its callers will ask it."""

import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException

from deploy.project import ROOT

RECORDING = ROOT / "tests" / "data" / "speech.wav"
SECONDS = 120.0
ATTEMPTS = 5
PAUSE = 2.0


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the key would go wherever it leads."""

    def redirect_request(self, *_: object) -> None:
        """Return no request: the redirect itself becomes the error."""


direct = urllib.request.build_opener(NoRedirect)


def smoke_test(url: str, version: str, keys: str) -> str | None:
    """Return None when the service answers as it should, else the reason.

    Args:
        url: where callers reach it.
        version: that it must say it is.
        keys: ``API_KEYS``: the key named ``smoke`` is used, else the first; without one the routes
            that need a key are not asked.
    """
    reason = None
    # The proxy needs a moment to see the last replica.
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE)
        reason = _try(url.rstrip("/"), version, key_of(keys))
        if reason is None:
            return None
    return reason


def key_of(keys: str) -> str:
    """Return the key named ``smoke`` of ``name:key,name:key``, else the first, else nothing."""
    pairs = [pair.strip().partition(":") for pair in keys.split(",")]
    named = {name: key for name, _, key in pairs}
    return named.get("smoke") or pairs[0][2]


def _try(url: str, version: str, key: str) -> str | None:
    try:
        said = _ask(f"{url}/ready")
        if said.get("version") != version:
            return f"{url} says it is version {said.get('version')!r}, not {version!r}."
        if not key:
            return None
        if not (key.isascii() and key.isprintable()):
            return "API_KEYS: the key of the smoke test holds a line end or another odd character."
        boundary = secrets.token_hex(16)
        headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": f"multipart/form-data; boundary={boundary}",
        }
        heard = _ask(f"{url}/v1/audio/transcriptions", _form(boundary), headers)
    except urllib.error.HTTPError as error:
        return f"{error.url} answered {error.code}: {error.read(500).decode(errors='replace')}"
    except (OSError, HTTPException, ValueError, TypeError) as error:
        return f"{url}: {error}"
    return None if heard.get("text") else f"{url} heard nothing in {RECORDING.name}."


def _ask(
    url: str, content: bytes | None = None, headers: Mapping[str, str] | None = None
) -> dict[str, object]:
    if not url.startswith(("http://", "https://")):
        raise ValueError("PUBLIC_URL must begin with http:// or https://")
    request = urllib.request.Request(url, content, dict(headers or {}))  # noqa: S310 - as checked
    with direct.open(request, timeout=SECONDS) as answer:
        found = json.load(answer)
    if not isinstance(found, dict):
        raise TypeError("this is no answer of the service")
    return found


def _form(boundary: str) -> bytes:
    """Return the recording as a form."""
    fields = [f'--{boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n']
    fields.append(f'--{boundary}\r\nContent-Disposition: form-data; name="language"\r\n\r\nen\r\n')
    file = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="speech.wav"\r\n'
    head = "".join(fields) + file + "Content-Type: audio/wav\r\n\r\n"
    return head.encode() + RECORDING.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
