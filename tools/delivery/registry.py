"""A container registry: reached under one name by this machine's engine and by every server."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.containers.engine import docker
from tools.delivery.images import build
from tools.delivery.network import Container, Network

PORT = 5000
"""Where it listens in its network."""
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
TIMEOUT = 30.0


@dataclass(frozen=True)
class Registry:
    """A running registry."""

    container: Container
    port: int
    """Where it is reached on loopback: of this machine, and of every server."""
    user: str = ""
    password: str = ""

    @property
    def address(self) -> str:
        """What its images' names begin with: ``127.0.0.1:PORT``."""
        return f"127.0.0.1:{self.port}"

    def tags(self, name: str) -> list[str]:
        """Return the tags of an image, sorted. Raises httpx2.HTTPStatusError."""
        reply = self._ask("GET", f"{name}/tags/list")
        if reply.status_code == httpx2.codes.NOT_FOUND:
            return []
        return sorted(reply.raise_for_status().json()["tags"] or ())

    def digest(self, name: str, tag: str) -> str | None:
        """Return the digest that a tag names, or None where there is no such tag."""
        reply = self._ask("HEAD", f"{name}/manifests/{tag}")
        if reply.status_code == httpx2.codes.NOT_FOUND:
            return None
        digest: str = reply.raise_for_status().headers["Docker-Content-Digest"]
        return digest

    def delete(self, name: str, digest: str) -> None:
        """Delete a manifest, and with it every tag that names it. Raises HTTPStatusError."""
        self._ask("DELETE", f"{name}/manifests/{digest}").raise_for_status()

    def push(self, image: str, name: str, tag: str) -> str:
        """Push an image that this machine's engine has; return the digest.

        Args:
            image: its name or id here.
            name: its name in the registry, without the registry's address.
            tag: its tag there.

        Raises:
            EngineError: it cannot be pushed.
        """
        target = f"{self.address}/{name}:{tag}"
        docker("tag", image, target)
        try:
            with tempfile.TemporaryDirectory() as folder:
                docker("push", "--quiet", target, cwd=None, **self.docker_login(Path(folder)))
        finally:
            docker("rmi", target)
        digest = self.digest(name, tag)
        assert digest is not None
        return digest

    def docker_login(self, folder: Path) -> dict[str, str]:
        """Return variables that have docker logged in here, by a file in a folder."""
        if not self.user:
            return {}
        logged_in = {"DOCKER_CONFIG": str(folder)}
        subprocess.run(
            ["docker", "login", f"--username={self.user}", "--password-stdin", self.address],
            env={**os.environ, **logged_in},
            input=self.password.encode(),
            check=True,
            capture_output=True,
        )
        return logged_in

    def _ask(self, method: str, path: str) -> httpx2.Response:
        return httpx2.request(
            method,
            f"http://{self.address}/v2/{path}",
            headers={"Accept": ", ".join(MANIFESTS)},
            auth=(self.user, self.password) if self.user else None,
            timeout=TIMEOUT,
        )


@contextmanager
def running_registry(
    network: Network, role: str = "registry", user: str = "", password: str = ""
) -> Iterator[Registry]:
    """Run an empty registry until the block ends.

    Args:
        network: where it is.
        role: its name there.
        user: who may use it; everybody when empty.
        password: the user's.

    Raises:
        EngineError: it does not start.
    """
    account = {"REGISTRY_USER": user, "REGISTRY_PASSWORD": password} if user else {}
    image, publish = build("registry"), f"--publish=127.0.0.1::{PORT}"
    volume = "--volume=/var/lib/registry"
    with network.container(role, image, publish, volume, **account) as container:
        registry = Registry(container, container.port(PORT), user, password)

        def answers() -> bool:
            try:
                return registry._ask("GET", "").status_code == httpx2.codes.OK
            except httpx2.TransportError:
                return False

        container.until(answers, "ready")
        yield registry
