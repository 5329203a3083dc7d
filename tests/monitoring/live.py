"""The programs of monitoring, running beside a service on this machine.

They run a project's own files. Two things differ from a server: the addresses, for there are no
names of a network; and the durations, a sixtieth of the real ones, for a test cannot wait so long.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from tests.monitoring.expressions import MONITORING
from tests.monitoring.programs import Programs
from tools.service_process import free_port

FASTER = 60
UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
# In rules: a window, and what an alert waits for. In Alertmanager's file: what it waits for.
DURATION = re.compile(
    r"(?P<before>\[|(?:for|keep_firing_for|group_wait|group_interval|repeat_interval): )"
    r"(?P<number>\d+)(?P<unit>ms|s|m|h|d)\b"
)
SCRAPE = "250ms"
PATIENCE = 90.0


def faster(text: str) -> str:
    """Return a file in which every duration is shorter."""

    def shorter(match: re.Match[str]) -> str:
        milliseconds = int(match["number"]) * UNITS[match["unit"]] // FASTER
        return f"{match['before']}{milliseconds}ms"

    return DURATION.sub(shorter, text)


class Hook:
    """A web hook that keeps what it is sent, in the order of its coming."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        """Name and status of each alert: ``firing`` or ``resolved``."""
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hook.told += [(a["labels"]["alertname"], a["status"]) for a in message["alerts"]]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait_for(self, alert: str, status: str) -> None:
        """Return when an alert was told with a status. Raises AssertionError."""
        deadline = time.monotonic() + PATIENCE
        while (alert, status) not in self.told:
            assert time.monotonic() < deadline, f"no {alert} {status}, but {self.told}"
            time.sleep(0.2)


class Mailbox:
    """A mail server that keeps what it is sent."""

    def __init__(self) -> None:
        self.subjects: list[str] = []
        self.port = free_port()
        self._server = Controller(self, hostname="127.0.0.1", port=self.port)
        self._server.start()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        """Take a message, as the server's library calls this."""
        assert isinstance(envelope.content, bytes)
        self.subjects.append(str(message_from_bytes(envelope.content)["Subject"]))
        return "250 OK"

    def wait_for(self, alert: str) -> None:
        """Return when a message names an alert. Raises AssertionError."""
        deadline = time.monotonic() + PATIENCE
        while not any(alert in subject for subject in self.subjects):
            assert time.monotonic() < deadline, f"no mail of {alert}, but {self.subjects}"
            time.sleep(0.2)

    def close(self) -> None:
        """Take no more."""
        self._server.stop()


@dataclass(frozen=True)
class Monitoring:
    """A running Prometheus, and those whom its Alertmanager tells."""

    prometheus: str
    """Its address."""
    hook: Hook
    mailbox: Mailbox

    def query(self, expression: str) -> list[Any]:
        """Return the samples of an expression."""
        url = f"{self.prometheus}/api/v1/query"
        answer = httpx2.get(url, params={"query": expression}).raise_for_status().json()
        samples: list[Any] = answer["data"]["result"]
        return samples

    def firing(self) -> set[str]:
        """Return the names of the alerts that Prometheus has firing."""
        return {
            sample["metric"]["alertname"] for sample in self.query('ALERTS{alertstate="firing"}')
        }


@contextmanager
def monitoring(
    programs: Programs, project: Path, services: list[str], folder: Path
) -> Iterator[Monitoring]:
    """Run Prometheus and Alertmanager with a project's files until the block ends.

    Args:
        programs: the real ones.
        project: a rendered project.
        services: host and port of each replica's metrics.
        folder: for their files and logs.
    """
    hook, mailbox = Hook(), Mailbox()
    ports = {name: free_port() for name in ("prometheus", "alertmanager")}
    addresses = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    (folder / "rules").mkdir()
    for file in (project / MONITORING / "rules").glob("*.yml"):
        (folder / "rules" / file.name).write_text(faster(file.read_text("utf-8")), "utf-8")
    prometheus = yaml.safe_load((project / MONITORING / "prometheus.yml").read_text("utf-8"))
    prometheus["global"] = dict.fromkeys(("scrape_interval", "evaluation_interval"), SCRAPE)
    prometheus["global"]["scrape_timeout"] = SCRAPE
    (manager,) = prometheus["alerting"]["alertmanagers"]
    manager["static_configs"][0]["targets"] = [addresses["alertmanager"]]
    (job,) = [one for one in prometheus["scrape_configs"] if one["job_name"] == "service"]
    job["static_configs"] = [{"targets": services}]
    del job["dns_sd_configs"]
    prometheus["scrape_configs"] = [job]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(prometheus), "utf-8")
    text = faster((project / MONITORING / "alertmanager.yml").read_text("utf-8"))
    (folder / "ALERT_WEBHOOK_URL").write_text(hook.url, "utf-8")
    told = receivers(project, mailbox).replace("/run/secrets", str(folder))
    (folder / "alertmanager.yml").write_text(text + told, "utf-8")
    commands = {
        "alertmanager": [
            str(programs.alertmanager),
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}",
            "--cluster.listen-address=",
        ],
        "prometheus": [
            str(programs.prometheus),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
        ],
    }
    running = []
    try:
        for name, command in commands.items():
            with (folder / f"{name}.log").open("wb") as log:
                listen = f"--web.listen-address={addresses[name]}"
                running.append(subprocess.Popen([*command, listen], stdout=log, stderr=log))
            _until_ready(f"http://{addresses[name]}", folder / f"{name}.log")
        yield Monitoring(f"http://{addresses['prometheus']}", hook, mailbox)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)
        hook.server.shutdown()
        mailbox.close()


def receivers(project: Path, mailbox: Mailbox) -> str:
    """Return the lines that a project's own tool adds to Alertmanager's file, by its settings."""
    code = (
        "from deploy import monitor, project\n"
        "target = project.read_target('production')\n"
        "print(monitor.receivers(target, with_hook=True, with_key=False), end='')"
    )
    settings = {
        "ALERT_EMAIL_TO": "team@example.com",
        "ALERT_EMAIL_FROM": "alerts@example.com",
        "ALERT_SMTP": f"127.0.0.1:{mailbox.port}",
        "ALERT_SMTP_TLS": "off",
    }
    command = [sys.executable, "-B", "-c", code]
    environment = {**os.environ, **settings}
    done = subprocess.run(
        command, cwd=project, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout


def _until_ready(url: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if httpx2.get(f"{url}/-/ready").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.1)
