"""The proxy's file, as HAProxy itself reads it, with a certificate and without."""

from __future__ import annotations

import pytest

from tests.conftest import Render
from tests.containers.engine import docker
from tools.delivery.certificate import Certificate
from tools.delivery.images import build

CONFIG = "/usr/local/etc/haproxy/haproxy.cfg"


@pytest.mark.parametrize("tls", ["on", "off"])
def test_haproxy_takes_its_file(
    tls: str, render: Render, certificate: Certificate, engine: None
) -> None:
    # Given a project's file, and the certificate as a secret
    project = render({})
    pem = certificate.authority.with_name("proxy.pem")
    pem.write_text(certificate.pem, "utf-8")
    mounts = {
        project / "deploy/proxy/haproxy.cfg": CONFIG,
        pem: "/run/secrets/TLS_CERTIFICATE",
    }
    options = [f"--volume={file}:{place}:ro" for file, place in mounts.items()]
    variables = [f"--env=TLS={tls}", "--env=REPLICAS_MOST=16"]
    # When HAProxy reads it, Then it has nothing against it
    said = docker(
        *("run", "--rm", "--network=none", "--entrypoint=haproxy"),
        *(*options, *variables, build("proxy"), "-c", "-V", "-f", CONFIG),
    )
    assert "Configuration file is valid" in said
