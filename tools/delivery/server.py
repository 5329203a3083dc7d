"""Servers to deploy to: machines in containers, each with an engine and an sshd of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.containers.engine import docker
from tools.delivery.images import build
from tools.delivery.network import Container, Network, succeeds
from tools.delivery.registry import PORT as REGISTRY_PORT
from tools.delivery.registry import Registry

USER = "deploy"
SSH_PORT = 22
SERVICE_PORTS = (8080, 8443)
SERVICE_USER = 10001
# An engine in a container needs about everything; `--privileged` asks for more than some machines
# can give.
POWERS = (
    "--cap-add=ALL",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--security-opt=systempaths=unconfined",
    "--cgroupns=private",
)


@dataclass(frozen=True)
class Server:
    """A running server."""

    container: Container
    ssh_port: int
    """Where its sshd is reached on this machine's loopback."""
    private_key: str
    """The key that its user ``deploy`` is let in with."""
    known_hosts: str
    """Its host key, as a line of a known_hosts file."""

    @property
    def docker_host(self) -> str:
        """What DOCKER_HOST names it by."""
        return f"ssh://{USER}@127.0.0.1:{self.ssh_port}"

    @property
    def address(self) -> str:
        """Its address in the network, where this machine reaches it too."""
        return self.container.address

    def port(self, inside: int) -> int:
        """Return the port of this machine's loopback where one of its service ports is reached."""
        return self.container.port(inside)

    def exec(self, *command: str) -> str:
        """Run a command on it, as root. Raises EngineError when the command fails."""
        return self.container.exec(*command)

    def docker(self, *arguments: str) -> str:
        """Run a docker command on it. Raises EngineError when the command fails."""
        return self.exec("docker", *arguments)

    def start_swarm(self) -> None:
        """Make it the manager of a swarm."""
        self.docker("swarm", "init", f"--advertise-addr={self.address}")

    def join(self, manager: Server) -> None:
        """Make it a worker in the swarm of another server of the network."""
        token = manager.docker("swarm", "join-token", "--quiet", "worker")
        here = f"--advertise-addr={self.address}"
        self.docker("swarm", "join", "--token", token, here, f"{manager.address}:2377")

    def kill(self) -> None:
        """Let it die: every process at once, and nobody is told; what is sent to it is lost."""
        docker("network", "disconnect", "--force", self.container.network.name, self.container.name)
        docker("kill", self.container.name)

    def fill_volume(self, volume: str, *folders: Path) -> None:
        """Copy folders of this machine into a volume, which is made where it is missing.

        They belong to the service's user there.
        """
        self.docker("volume", "create", volume)
        target = self.docker("volume", "inspect", "--format={{.Mountpoint}}", volume)
        for folder in folders:
            docker("cp", "--quiet", str(folder), f"{self.container.name}:{target}")
        self.exec("chown", "-R", f"{SERVICE_USER}:{SERVICE_USER}", target)

    def ssh_environment(self, folder: Path) -> dict[str, str]:
        """Return variables with which a local docker works on this server.

        Args:
            folder: gets the key, the known hosts and an ``ssh`` that uses them.
        """
        files = {"key": self.private_key, "known_hosts": self.known_hosts}
        for name, text in files.items():
            path = folder / name
            path.touch(mode=0o600)
            path.write_text(text, "utf-8")
        options = {
            "IdentityFile": str(folder / "key"),
            "UserKnownHostsFile": str(folder / "known_hosts"),
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
        }
        line = shlex.join(f"-o{name}={value}" for name, value in options.items())
        program = folder / "bin" / "ssh"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F none {line} "$@"\n', "utf-8")
        program.chmod(0o755)
        search = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        return {"PATH": search, "DOCKER_HOST": self.docker_host}


@contextmanager
def running_server(
    network: Network, registry: Registry, role: str, ports: Sequence[int] = SERVICE_PORTS
) -> Iterator[Server]:
    """Run a server until the block ends; all that is on it goes with it.

    Args:
        network: where it is; servers of one network can form a swarm.
        registry: what it reaches as ``127.0.0.1:PORT``, as this machine does.
        role: its name in the network, its host name, and the node's name in a swarm.
        ports: those of its services, published on free ports of this machine's loopback.

    Raises:
        EngineError: it does not start.
    """
    published = [f"--publish=127.0.0.1::{port}" for port in (SSH_PORT, *ports)]
    private_key, public_key = make_key()
    with network.container(
        *(role, build("server"), *POWERS, *published, "--volume=/var/lib/docker"),
        AUTHORIZED_KEY=public_key,
        REGISTRY=f"{registry.container.address}:{REGISTRY_PORT}",
        REGISTRY_PORT=str(registry.port),
    ) as container:
        container.until(lambda: succeeds("exec", container.name, "docker", "info"), "ready")
        ssh_port = container.port(SSH_PORT)
        host_key = container.exec("cat", "/etc/ssh/ssh_host_ed25519_key.pub")
        known_hosts = f"[127.0.0.1]:{ssh_port} {host_key}\n"
        yield Server(container, ssh_port, private_key, known_hosts)


def make_key() -> tuple[str, str]:
    """Return a new SSH key: the private part and the public one."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "key")
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", USER, "-f", str(file)]
        subprocess.run(command, check=True)
        public = file.with_suffix(".pub").read_text("utf-8").strip()
        return file.read_text("utf-8"), public
