"""Puts what watches the service onto a server: Prometheus, Alertmanager, the probe, Grafana."""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import secrets, server
from deploy.docker import DockerError, docker, inspect
from deploy.errors import DeployError
from deploy.project import FOLDER, Target

SOURCE = FOLDER / "monitoring"
WATCHERS = ("prometheus", "alertmanager", "blackbox", "grafana")
# What of this folder goes where in which container. A folder's files are those that are there, so a
# rule or a dashboard of the team's needs no line here.
PLACES = {
    "prometheus.yml": ("prometheus", "/etc/prometheus"),
    "rules": ("prometheus", "/etc/prometheus/rules"),
    "targets": ("prometheus", "/etc/prometheus/targets"),
    "alertmanager.yml": ("alertmanager", "/etc/alertmanager"),
    "blackbox.yml": ("blackbox", "/etc/blackbox"),
    "grafana/provisioning": ("grafana", "/etc/grafana/provisioning"),
    "grafana/dashboards": ("grafana", "/etc/grafana/dashboards"),
}
WEBHOOK, MAIL, GRAFANA = "ALERT_WEBHOOK_URL", "ALERT_SMTP_PASSWORD", "GRAFANA_PASSWORD"
# The one that reads a secret; it is a file of that container.
READERS = {WEBHOOK: "alertmanager", MAIL: "alertmanager", GRAFANA: "grafana"}
GRAFANA_INSIDE = 3000
HIGHEST_PORT = 65535
START_SECONDS = 600  # with the images to fetch
# Something that ends again has run for less.
SETTLED_SECONDS = 10
POLL_SECONDS = 1.0
Object = dict[str, Any]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Monitoring:
    """What will be put onto the server.

    Args:
        names: name of each secret -> its name on the server.
        values: of the secrets that were given.
        lines: what a person should know before it is done.
    """

    names: dict[str, str]
    values: dict[str, str]
    lines: list[str]


def prepare(target: Target) -> Monitoring:
    """Look at the server and the settings, and say what will be put there.

    Raises:
        DeployError: no service runs there yet, or a setting or secret is missing or impossible.
    """
    node = server.node_name()
    if not inspect("network", [network(target)]):
        raise DeployError(
            f"{target.environment} has no service to watch yet: apply a version first."
        )
    place = target.monitoring
    values = secrets.read_values(target, list(READERS))
    present = secrets.on_server(place)
    names = {
        name: secrets.secret_name(place, name, values[name]) if name in values else present[name]
        for name in READERS
        if name in values or name in present
    }
    with_grafana = (target.values.get("GRAFANA_REPLICAS") or "1") != "0"
    if with_grafana and GRAFANA not in names:
        raise DeployError(
            f"{GRAFANA} is missing: give Grafana's administrator a password, or set "
            "GRAFANA_REPLICAS=0 where the team has its own."
        )
    receivers(target, with_hook=WEBHOOK in names, with_key=MAIL in names)
    grafana_port(target)
    told = [text for text in (names.get(WEBHOOK) and "a web hook", mail_to(target)) if text]
    return Monitoring(
        names,
        values,
        [
            f"Monitoring of {target.environment}",
            "",
            f"  server    {server.address()} ({node})",
            f"  stack     {place.stack}",
            f"  watches   {target.stack}, from outside {target.values.get('PUBLIC_URL') or 'not'}",
            f"  alerts    go to {' and '.join(told) or 'nobody: set ' + WEBHOOK}",
            f"  grafana   {grafana_line(target, with_grafana=with_grafana)}",
            *(f"  secret    {name}" for name in names),
        ],
    )


def apply(target: Target, monitoring: Monitoring, say: Say) -> None:
    """Put it onto the server, or what has changed of it, and wait until it runs.

    Raises:
        DeployError: it cannot be put there, or does not come to run.
    """
    place = target.monitoring
    say("create the secrets")
    secrets.create(place, monitoring.names, monitoring.values)
    say("update the services")
    with files(target, monitoring.names) as folder:
        model = fragment(target, folder, monitoring.names)
        (folder / "fragment.yaml").write_text(json.dumps(model), "utf-8")  # JSON is YAML
        node = docker("info", "--format", "{{.Swarm.NodeID}}")
        docker(
            *("stack", "deploy", "--detach=true", "--with-registry-auth", "--prune"),
            *("--compose-file", str(folder / "stack.yaml")),
            *("--compose-file", str(folder / "fragment.yaml"), place.stack),
            variables={**filled(target.values), "NETWORK": network(target), "NODE": node},
        )
    wait(place, say)
    secrets.forget(place, set(monitoring.names.values()))
    forget(place, {config["name"] for config in model["configs"].values()})


def network(target: Target) -> str:
    """Return the name of the network that a service's replicas are in."""
    return f"{target.stack}_default"


@contextmanager
def files(target: Target, names: dict[str, str]) -> Iterator[Path]:
    """Yield a copy of this folder in which the environment's settings are filled in."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "monitoring"
        shutil.copytree(SOURCE, folder)
        with (folder / "alertmanager.yml").open("a", encoding="utf-8") as file:
            file.write(receivers(target, with_hook=WEBHOOK in names, with_key=MAIL in names))
        prometheus = folder / "prometheus.yml"
        labels = json.dumps({"project": target.project, "environment": target.environment})
        named = f"global:\n  external_labels: {labels}\n"
        prometheus.write_text(prometheus.read_text("utf-8").replace("global:\n", named, 1), "utf-8")
        if url := target.values.get("PUBLIC_URL"):
            probe = json.dumps([{"targets": [url]}])
            (folder / "targets" / "probe.json").write_text(probe, "utf-8")
        yield folder


def receivers(target: Target, *, with_hook: bool, with_key: bool) -> str:
    """Return the lines that end Alertmanager's file: where its only receiver is told.

    Raises:
        DeployError: the settings of the e-mail are not complete.
    """
    lines = []
    if with_hook:
        hook = {"url_file": f"/run/secrets/{WEBHOOK}", "send_resolved": True}
        lines.append(f"    webhook_configs: [{json.dumps(hook)}]\n")
    if to := mail_to(target):
        values = target.values
        mail: Object = {
            "to": to,
            "from": values.get("ALERT_EMAIL_FROM"),
            "smarthost": values.get("ALERT_SMTP"),
            "require_tls": values.get("ALERT_SMTP_TLS") != "off",
            "send_resolved": True,
        }
        if not mail["from"] or ":" not in str(mail["smarthost"]):
            raise DeployError(
                "ALERT_EMAIL_TO needs ALERT_EMAIL_FROM, and ALERT_SMTP=host:port of a mail server."
            )
        if user := values.get("ALERT_SMTP_USER"):
            if not with_key:
                raise DeployError(f"ALERT_SMTP_USER needs the secret {MAIL}.")
            mail |= {"auth_username": user, "auth_password_file": f"/run/secrets/{MAIL}"}
        lines.append(f"    email_configs: [{json.dumps(mail, ensure_ascii=False)}]\n")
    return "".join(lines)


def mail_to(target: Target) -> str | None:
    """Return the address that is told of alerts, None where there is none."""
    return target.values.get("ALERT_EMAIL_TO") or None


def grafana_line(target: Target, *, with_grafana: bool) -> str:
    """Return what a plan says of Grafana."""
    if not with_grafana:
        return "the team's own"
    port = grafana_port(target)
    return f"port {port} of every address of the server" if port else "not published"


def grafana_port(target: Target) -> int | None:
    """Return the port of the server where Grafana is published, None where it is not.

    Raises:
        DeployError: it is no port.
    """
    port = target.values.get("GRAFANA_PORT")
    if not port:
        return None
    if not port.isdecimal() or not 0 < int(port) <= HIGHEST_PORT:
        raise DeployError(f"GRAFANA_PORT: {port!r} is no port.")
    return int(port)


def fragment(target: Target, folder: Path, names: dict[str, str]) -> Object:
    """Return what is added to ``stack.yaml``: files, secrets, Grafana's port.

    Args:
        target: whose service is watched.
        folder: the files as they go to the server.
        names: name of each secret -> its name there.
    """
    services: dict[str, Object] = {name: {"configs": [], "secrets": []} for name in WATCHERS}
    configs: dict[str, Object] = {}
    for name, (watcher, place) in PLACES.items():
        source = folder / name
        found = sorted(source.rglob("*.*")) if source.is_dir() else [source]
        for file in found:
            inside = file.relative_to(source if source.is_dir() else source.parent)
            key = "-".join((watcher, *inside.parts)).replace(".", "-")
            digest = hashlib.sha256(key.encode() + file.read_bytes()).hexdigest()[:12]
            # A config never changes; another content is another one.
            full_name = f"{target.monitoring.prefix}_{digest}"
            configs[key] = {"name": full_name, "file": str(file)}
            mount = {"source": key, "target": f"{place}/{inside.as_posix()}"}
            services[watcher]["configs"].append(mount)
    for name in names:
        services[READERS[name]]["secrets"].append({"source": name, "target": name})
    if GRAFANA in names:
        file_of = f"/run/secrets/{GRAFANA}"
        services["grafana"]["environment"] = {"GF_SECURITY_ADMIN_PASSWORD__FILE": file_of}
    if port := grafana_port(target):
        published = {"target": GRAFANA_INSIDE, "published": port, "mode": "host"}
        services["grafana"]["ports"] = [published]
    external = {name: {"external": True, "name": full} for name, full in names.items()}
    return {"version": "3.13", "services": services, "configs": configs, "secrets": external}


def filled(values: dict[str, str]) -> dict[str, str]:
    """Return the settings that have a value: the others leave the stack's defaults."""
    return {name: value for name, value in values.items() if value}


def why(state: server.ServiceState | None) -> str:
    """Return why something does not run, as far as the swarm says."""
    if state is None or not state.tasks:
        return "the swarm has not begun with it."
    status = state.tasks[-1]["Status"]
    return server.why_failed(state, set()) or state.waiting or f"it is {status['State']}."


def forget(place: Target, kept: set[str]) -> None:
    """Remove the files of former times; those in use stay in any case."""
    label = f"label=com.docker.stack.namespace={place.stack}"
    names = docker("config", "ls", "--format={{.Name}}", "--filter", label).split()
    for name in set(names) - kept:
        with suppress(DockerError):
            docker("config", "rm", name)


def wait(place: Target, say: Say) -> None:
    """Wait until everything runs.

    Raises:
        DeployError: something does not.
    """
    deadline = time.monotonic() + START_SECONDS
    settled_at: float | None = None
    shown = ""
    while True:
        states = {name: server.read_service(place, name) for name in WATCHERS}
        waiting = [
            name
            for name, state in states.items()
            if state is None or not (state.settled or state.replicas == 0)
        ]
        if not waiting:
            settled_at = settled_at or time.monotonic()
            if time.monotonic() - settled_at >= SETTLED_SECONDS:
                return
            time.sleep(POLL_SECONDS)
            continue
        settled_at = None
        line = f"wait for {', '.join(waiting)}"
        if line != shown:
            say(line)
            shown = line
        if time.monotonic() > deadline:
            raise DeployError(f"{waiting[0]} does not come to run: {why(states[waiting[0]])}")
        time.sleep(POLL_SECONDS)
