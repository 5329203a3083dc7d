"""The real parts that releases are tested with: registry, servers, proxy, images."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.containers import conftest as containers
from tests.containers.conftest import Image
from tools.delivery.certificate import Certificate, make_certificate
from tools.delivery.chat import running_chat
from tools.delivery.images import build as build_part
from tools.delivery.images import derived
from tools.delivery.network import Network
from tools.delivery.network import network as new_network
from tools.delivery.registry import Registry, running_registry
from tools.delivery.server import Server, running_server

# As in the tests of containers.
engine = containers.engine
build = containers.build
light_image = containers.light_image

RELEASES = Path(__file__).with_name("releases")
GOOD = ("v1.0.0", "v2.0.0", "v3.0.0")
NEVER_READY = "v4.0.0"
CRASHES = "v5.0.0"
FAILS_LATER = "v5.1.0"
BAD = {NEVER_READY: "never-ready", CRASHES: "crashes", FAILS_LATER: "fails-later"}
DOCKERFILES = dict.fromkeys(GOOD, "good") | BAD

NewServer = Callable[..., AbstractContextManager[Server]]


@dataclass(frozen=True)
class ServiceImages:
    """The releases of a service, in the registry."""

    name: str
    """In the registry, without its address."""
    image: str
    """With its address, as this machine and every server name it; without a tag."""
    digests: dict[str, str]
    """By version: those of `GOOD` and `BAD`."""
    project: Path
    """What they were built from; its engines need the trained weights in the volume `models`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder: it needs a container engine that can hold servers."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.delivery)


@pytest.fixture(scope="session")
def programs(engine: None) -> None:
    """See that the programs are there that reach servers."""
    tool = [str(ROOT / "tools/system-packages.sh"), "openssh-client", "openssl"]
    done = subprocess.run(tool, check=False, capture_output=True, text=True)
    if done.returncode == 0:
        return
    if os.environ.get("KODEX_REQUIRE_REAL"):
        pytest.fail(done.stderr)
    pytest.skip(done.stderr)


@pytest.fixture(scope="session")
def network(programs: None) -> Iterator[Network]:
    """Return a network for all servers of the session."""
    with new_network() as made:
        yield made


@pytest.fixture(scope="session")
def registry(network: Network) -> Iterator[Registry]:
    """Return a registry without a password."""
    with running_registry(network) as running:
        yield running


@pytest.fixture(scope="session")
def new_server(network: Network, registry: Registry) -> NewServer:
    """Return a function that starts a server: `with new_server("one") as server`."""
    return partial(running_server, network, registry)


@pytest.fixture(scope="session")
def proxy_image(registry: Registry) -> str:
    """Return the name of an image of HAProxy, as on the hub, in the registry."""
    registry.push(build_part("proxy"), "library/haproxy", "3.0")
    return f"{registry.address}/library/haproxy:3.0"


@pytest.fixture(scope="session")
def watcher_images(registry: Registry) -> dict[str, str]:
    """Return the settings that name the images of what watches a service, in the registry."""
    names = ("prometheus", "alertmanager", "blackbox")
    for name in names:
        registry.push(build_part(name), f"prom/{name}", "test")
    return {f"{name.upper()}_IMAGE": f"{registry.address}/prom/{name}:test" for name in names}


@pytest.fixture(scope="session")
def chat(network: Network) -> Iterator[str]:
    """Return the base URL of a language-model server: 40 tokens in 4 s."""
    with running_chat(network) as url:
        yield url


@pytest.fixture(scope="session")
def certificate(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Return a certificate for this machine's loopback."""
    return make_certificate(tmp_path_factory.mktemp("certificate"), "127.0.0.1", "localhost")


@pytest.fixture(scope="session")
def service_images(registry: Registry, light_image: Image) -> ServiceImages:
    """Return releases of the light service: three good ones and three that are broken."""
    name = f"my-org/{light_image.project.name}"
    digests = {}
    for version, file in DOCKERFILES.items():
        with derived(light_image.name, RELEASES / f"{file}.Dockerfile", version) as image:
            digests[version] = registry.push(image, name, version)
    return ServiceImages(name, f"{registry.address}/{name}", digests, light_image.project)
