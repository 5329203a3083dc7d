"""The whole way of a change, with real parts: push, CI, build, staging, approval, production, back.

`make delivery-demo` tells it; `tests/delivery/test_story.py` holds it against what must be true.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from tools.delivery.certificate import Certificate, make_certificate
from tools.delivery.chat import running_chat
from tools.delivery.images import build
from tools.delivery.load import Plan, Report, Request, load
from tools.delivery.network import network
from tools.delivery.registry import Registry, running_registry
from tools.delivery.release_tool import write_settings
from tools.delivery.server import Server, running_server
from tools.delivery.workflow_runner import Run, WorkflowRunner

LIGHT = {
    "stt_engine": "faster-whisper",
    "llm_engine": "openai-compatible",
    "tts_engine": "espeak-ng",
}
"""A project whose language model is a server's: its image is small and starts in seconds."""
NAMESPACE = "my-org"
USER, PASSWORD = "ci", "canary-registry-9e41"
KEY = "canary-api-key-5d20"
WEIGHTS = "whisper-base-ct2"
HTTP, HTTPS = 8080, 8443
SYSTEM_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
Render = Callable[[dict[str, str]], Path]
SPOKEN = Request("/v1/audio/speech", {"model": "tts-1", "input": "Hello.", "voice": "auto"})


@dataclass
class Step:
    """Something that was done, and how long it took."""

    name: str
    seconds: float
    run: Run | None = None
    report: Report | None = None


@dataclass
class Story:
    """Two servers, a registry, and a project with its workflows."""

    slug: str
    registry: Registry
    servers: dict[str, Server]
    runner: WorkflowRunner
    certificate: Certificate
    authorities: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further variables of the jobs."""
    steps: list[Step] = field(default_factory=list)

    @property
    def image(self) -> str:
        """The image's name in the registry, without the registry's address."""
        return f"{NAMESPACE}/{self.slug}"

    @property
    def secrets(self) -> dict[str, str]:
        """What GitHub's environments would hold."""
        return {
            "API_KEYS": f"smoke:{KEY}",
            "HF_TOKEN": "canary-hub-77ab",
            "LLM_API_KEY": "canary-model-03fe",
            "TLS_CERTIFICATE": self.certificate.pem,
            "REGISTRY_TOKEN": PASSWORD,
        }

    def url(self, name: str) -> str:
        """Return where callers reach an environment."""
        return f"https://127.0.0.1:{self.servers[name].port(HTTPS)}"

    def version(self, name: str) -> str:
        """Return the version that answers in an environment."""
        context = ssl.create_default_context(cafile=self.certificate.authority)
        reply = httpx2.get(f"{self.url(name)}/health", verify=context, timeout=30)
        return str(reply.raise_for_status().json()["version"])

    def deployed_digest(self, name: str) -> str:
        """Return the digest of the image that an environment's service runs."""
        image = "{{.Spec.TaskTemplate.ContainerSpec.Image}}"
        service = f"{self.slug}-{name}_service"
        found = self.servers[name].docker("service", "inspect", f"--format={image}", service)
        return found.partition("@")[2]

    def run(
        self,
        step: str,
        workflow: str,
        server: str,
        event: str = "push",
        ref: str = "refs/heads/main",
        **inputs: str,
    ) -> Run:
        """Run a workflow against a server, and note it as a step."""
        began = time.monotonic()
        target = self.servers[server]
        run = self.runner.run(
            workflow,
            event,
            ref,
            inputs=inputs,
            secrets={
                **self.secrets,
                "DEPLOY_SSH_KEY": target.private_key,
                "DEPLOY_KNOWN_HOSTS": target.known_hosts,
            },
            variables={
                "DEPLOY_HOST": target.docker_host,
                "PUBLIC_URL": self.url(server),
                "REGISTRY_USER": USER,
            },
            environment={"SSL_CERT_FILE": str(self.authorities), **self.environment},
        )
        self.steps.append(Step(step, time.monotonic() - began, run))
        return run

    @contextmanager
    def under_load(self, server: str) -> Iterator[None]:
        """Put a steady load on an environment; the last step gets the report."""
        plan = Plan(
            self.url(server),
            (*(Request("/health"),) * 9, SPOKEN),
            streams=2,
            interval_seconds=0.08,
            key=KEY,
            authority=str(self.certificate.authority),
        )
        with load(plan, "load") as running:
            yield
        self.steps[-1].report = running.report()


@contextmanager
def story(
    folder: Path,
    render: Render,
    weights: Path,
    *,
    slug: str = "voice",
    build_options: str = "",
    environment: Mapping[str, str] | None = None,
) -> Iterator[Story]:
    """Set the scene: a registry with a password, two servers, a project that names them.

    Args:
        folder: for keys, certificates and the project's repository.
        render: returns the folder of a project with the answers it is given.
        weights: folder of trained weights.
        slug: short name of the project.
        build_options: more options of `docker build`: a base image, a folder of wheels.
        environment: further variables of the jobs.

    Raises:
        EngineError: a part does not start.
    """
    with ExitStack() as parts:
        net = parts.enter_context(network())
        registry = parts.enter_context(running_registry(net, user=USER, password=PASSWORD))
        registry.push(build("proxy"), "library/haproxy", "3.0")
        chat = parts.enter_context(running_chat(net, key="canary-model-03fe"))
        servers = {}
        for name in ("staging", "production"):
            servers[name] = parts.enter_context(running_server(net, registry, name))
            servers[name].start_swarm()
            servers[name].fill_volume(f"{slug}-{name}_models", weights / WEIGHTS)
        project = render(
            {**LIGHT, "project_slug": slug, "registry": f"{registry.address}/{NAMESPACE}"}
        )
        settings = {
            "PROXY_IMAGE": f"{registry.address}/library/haproxy:3.0",
            "HTTP_PORT": str(HTTP),
            "HTTPS_PORT": str(HTTPS),
            "START_SECONDS": "60",
            "MONITOR_SECONDS": "3",
            "SERVICE_STT_MODEL": f"/srv/models/{WEIGHTS}",
            "SERVICE_LLM_BASE_URL": chat,
            "SERVICE_LLM_WORKERS": "4",
            "SERVICE_SPOKEN_LANGUAGE": "en",
            "SERVICE_HF_HUB_OFFLINE": "1",
        }
        runner = WorkflowRunner(
            folder / "runner", project, f"{NAMESPACE}/{slug}", build_options=build_options
        )
        for name in servers:
            file = runner.source / "deploy" / "environments" / f"{name}.env"
            write_settings(file, settings)
        certificate = make_certificate(folder, "127.0.0.1", "localhost")
        authorities = folder / "authorities.pem"
        texts = [file.read_text("utf-8") for file in (SYSTEM_AUTHORITIES, certificate.authority)]
        authorities.write_text("".join(texts), "utf-8")
        yield Story(slug, registry, servers, runner, certificate, authorities, environment or {})
