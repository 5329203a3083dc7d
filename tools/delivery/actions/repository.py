"""An image's repository in a registry, by the API of the distribution specification."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import httpx2

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
STATEMENT = "application/vnd.in-toto+json"
TIMEOUT = 60.0

Descriptor = dict[str, Any]


class Repository:
    """Manifests and blobs of one image name, with the login that docker has."""

    def __init__(self, name: str) -> None:
        host, _, self.name = name.partition("/")
        scheme = "http" if host.startswith(("127.", "localhost")) else "https"
        self._client = httpx2.Client(
            base_url=f"{scheme}://{host}/v2/{self.name}/",
            headers=_login(host),
            timeout=TIMEOUT,
        )

    def manifest(self, reference: str) -> tuple[Descriptor, dict[str, Any]]:
        """Return the descriptor and the content of a manifest, by its tag or digest.

        Raises:
            httpx2.HTTPStatusError: the registry refuses.
        """
        accept = ", ".join((INDEX, MANIFEST, DOCKER_MANIFEST))
        reply = self._client.get(f"manifests/{reference}", headers={"Accept": accept})
        reply.raise_for_status()
        return _descriptor(reply.headers["Content-Type"], reply.content), reply.json()

    def blob(self, digest: str) -> Any:
        """Return a JSON blob. Raises httpx2.HTTPStatusError."""
        return self._client.get(f"blobs/{digest}").raise_for_status().json()

    def put_blob(self, kind: str, content: Any) -> Descriptor:
        """Upload a JSON blob; return its descriptor. Raises httpx2.HTTPStatusError."""
        data = json.dumps(content).encode()
        descriptor = _descriptor(kind, data)
        place = self._client.post("blobs/uploads/").raise_for_status().headers["Location"]
        mark = "&" if "?" in place else "?"
        url = f"{place}{mark}digest={descriptor['digest']}"
        kind_of_bytes = {"Content-Type": "application/octet-stream"}
        self._client.put(url, content=data, headers=kind_of_bytes).raise_for_status()
        return descriptor

    def put_manifest(self, kind: str, content: Any, tag: str | None = None) -> Descriptor:
        """Upload a manifest, by its digest or under a tag. Raises httpx2.HTTPStatusError."""
        data = json.dumps({"schemaVersion": 2, "mediaType": kind, **content}).encode()
        descriptor = _descriptor(kind, data)
        reference = tag or descriptor["digest"]
        headers = {"Content-Type": kind}
        reply = self._client.put(f"manifests/{reference}", content=data, headers=headers)
        reply.raise_for_status()
        return descriptor


def _descriptor(kind: str, data: bytes) -> Descriptor:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return {"mediaType": kind, "digest": digest, "size": len(data)}


def _login(host: str) -> dict[str, str]:
    file = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker"), "config.json")
    if not file.exists():
        return {}
    account = json.loads(file.read_text("utf-8")).get("auths", {}).get(host, {})
    return {"Authorization": f"Basic {account['auth']}"} if "auth" in account else {}
