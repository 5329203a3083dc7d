"""A server with the light service's releases, and the release tool that works on it."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.delivery.conftest import ServiceImages
from tools.delivery.certificate import Certificate
from tools.delivery.load import Plan, Request
from tools.delivery.release_tool import ReleaseTool, write_settings
from tools.delivery.server import Server

KEY = "key-of-a-test"
HTTP, HTTPS = 8080, 8443
SPEECH = Request("/v1/audio/speech", {"model": "tts-1", "input": "Hello.", "voice": "auto"})
GET = Request("/health")
# One caller in ten has a sentence spoken; the others are what most load is in number: quick.
REQUESTS = (*(GET,) * 9, SPEECH)


@dataclass(frozen=True)
class Site:
    """An environment of the light service."""

    server: Server
    tool: ReleaseTool
    authority: Path
    url: str

    @property
    def stack(self) -> str:
        """Name of its Docker stack."""
        return f"light-image-{self.tool.environment}"

    @property
    def deployed(self) -> bool:
        """Whether a version serves."""
        return f"{self.stack}_service" in self.server.docker("service", "ls").split()

    def version(self) -> str:
        """Return the version that answers."""
        context = ssl.create_default_context(cafile=self.authority)
        reply = httpx2.get(f"{self.url}/health", verify=context, timeout=30)
        return str(reply.raise_for_status().json()["version"])

    def serve(self, version: str) -> None:
        """Have a version serve; at once where it does."""
        self.tool.run("apply", version, "--approved-by", "test").must()

    def load(self, *requests: Request, streams: int = 0) -> Plan:
        """Return a load of 16 callers that keep their connections and 4 that do not."""
        return Plan(
            self.url,
            requests or REQUESTS,
            streams=streams,
            interval_seconds=0.08,
            key=KEY,
            authority=str(self.authority),
        )

    def in_service(self, *command: str) -> str:
        """Run a command in one of the service's containers."""
        label = f"label=com.docker.swarm.service.name={self.stack}_service"
        options = ("--filter", label, "--filter", "health=healthy")
        first = self.server.docker("ps", "--quiet", *options).split()[0]
        return self.server.docker("exec", first, *command)


@contextmanager
def site_on(
    server: Server,
    images: ServiceImages,
    proxy_image: str,
    certificate: Certificate,
    weights: Path,
    chat: str,
    folder: Path,
    environment: str = "production",
) -> Iterator[Site]:
    """Prepare a server and a project for releases; nothing is deployed yet."""
    server.start_swarm()
    project = folder / "project"
    ignored = shutil.ignore_patterns(".env", ".venv", "*_cache")
    shutil.copytree(images.project, project, ignore=ignored)
    url = f"https://127.0.0.1:{server.port(HTTPS)}"
    settings = {
        "PUBLIC_URL": url,
        "PROXY_IMAGE": proxy_image,
        "HTTP_PORT": str(HTTP),
        "HTTPS_PORT": str(HTTPS),
        "START_SECONDS": "60",
        "MONITOR_SECONDS": "3",
        "WATCH_SECONDS": "0",
        "SERVICE_STT_MODEL": "/srv/models/whisper-base-ct2",
        "SERVICE_LLM_BASE_URL": chat,
        "SERVICE_LLM_WORKERS": "4",
        "SERVICE_SPOKEN_LANGUAGE": "en",
        "SERVICE_HF_HUB_OFFLINE": "1",
    }
    write_settings(project / "deploy" / "environments" / f"{environment}.env", settings)
    ssh = folder / "ssh"
    ssh.mkdir()
    variables = {
        **server.ssh_environment(ssh),
        "IMAGE": images.image,
        "API_KEYS": f"smoke:{KEY}",
        "TLS_CERTIFICATE": certificate.pem,
        "SSL_CERT_FILE": str(certificate.authority),
    }
    tool = ReleaseTool(project, environment, variables)
    site = Site(server, tool, certificate.authority, url)
    server.fill_volume(f"{site.stack}_models", weights / "whisper-base-ct2")
    yield site
