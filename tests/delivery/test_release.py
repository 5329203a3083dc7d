"""Releases on a real server, over SSH: updates, broken versions, interruptions, refusals."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.delivery.conftest import CRASHES, NEVER_READY, NewServer, ServiceImages
from tests.delivery.site import GET, KEY, Site, site_on
from tools.delivery.certificate import Certificate
from tools.delivery.images import build as build_part
from tools.delivery.load import load
from tools.delivery.registry import Registry
from tools.delivery.release_tool import Result

V1, V2, V3 = "v1.0.0", "v2.0.0", "v3.0.0"
APPROVED = ("--approved-by", "test")
MANY = 10_000
SLOWEST = 10.0  # p99 while replicas change, over p99 before; their models load on the same cores


@pytest.fixture(scope="module")
def site(
    new_server: NewServer,
    service_images: ServiceImages,
    proxy_image: str,
    certificate: Certificate,
    weights: Path,
    chat: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """Return a server in production; what serves is what the last test left."""
    folder = tmp_path_factory.mktemp("site")
    with (
        new_server("production") as server,
        site_on(server, service_images, proxy_image, certificate, weights, chat, folder) as made,
    ):
        yield made


@pytest.fixture
def serving(site: Site) -> Site:
    """Return a server on which v1.0.0 serves."""
    site.serve(V1)
    return site


@pytest.fixture
def somewhere(site: Site) -> Site:
    """Return a server on which some version serves."""
    if not site.deployed:
        site.serve(V1)
    return site


@pytest.mark.alone
def test_rolling_updates_and_a_rollback_fail_no_request(serving: Site) -> None:
    # Given a version that serves, with files in both volumes, under load and with open streams
    serving.in_service("sh", "-c", "echo kept > /srv/data/index; echo kept > /srv/static/tts/a.txt")
    with load(serving.load(streams=2), "before") as running:
        time.sleep(10)
        # When two newer versions are released, and the last one is taken back
        for name, command in (
            ("v1 -> v2", ("apply", V2)),
            ("v2 -> v3", ("apply", V3)),
            ("rollback to v2", ("rollback",)),
        ):
            running.phase(name)
            serving.tool.run(*command, *APPROVED).must()
        running.phase("after")
        running.until_requests(MANY, 300)
    report = running.report()
    # Then no request failed and no stream was cut, and callers met each version
    print(f"\n{report.requests} requests, {report.streams} streams, {report.failed} failed")
    before = report.phase("before").p99_ms
    assert before
    for phase in report.phases:
        ratio = (phase.p99_ms or 0) / before
        print(f"{phase.name}: {phase.requests} requests, p99 {ratio:.2f} of before")
    assert report.problems == []
    assert report.requests >= MANY
    assert report.streams > 0
    assert set(report.phase("v1 -> v2").versions) == {V1, V2}
    assert set(report.phase("v2 -> v3").versions) == {V2, V3}
    assert set(report.phase("rollback to v2").versions) == {V3, V2}
    assert set(report.phase("after").versions) == {V2}
    rolls = [phase for phase in report.phases if "v2" in phase.name]
    assert max(phase.p99_ms or 0 for phase in rolls) / before < SLOWEST
    # And the files are still there
    found = serving.in_service("cat", "/srv/data/index", "/srv/static/tts/a.txt")
    assert found.split() == ["kept", "kept"]


@pytest.mark.parametrize(
    ("version", "reason"),
    [(NEVER_READY, "unhealthy|health check failed"), (CRASHES, r"non-zero exit \(70\)")],
    ids=["never healthy", "crashes after 5 s"],
)
def test_a_broken_release_is_taken_back_and_fails_no_request(
    version: str, reason: str, serving: Site
) -> None:
    # Given a version that serves, under load. (A request that a crashing process was working on is
    # lost where sending it again could do something twice: the callers here only read.)
    with load(serving.load(GET), "broken") as running:
        # When a broken version is released
        patience = {"START_SECONDS": "15", "MONITOR_SECONDS": "10"}
        result = serving.tool.run("apply", version, *APPROVED, **patience)
    # Then the command fails and says why
    assert result.status == 1
    expected = f"Error: {version} failed. {V1} serves. The reason: "
    assert result.error.startswith(expected), result.error
    assert re.search(reason, result.error), result.error
    # And the former version goes on serving, without a single failure
    assert running.report().problems == []
    assert serving.version() == V1
    history = serving.tool.run("history").must().out.splitlines()[-1]
    assert f"{version} " in history
    assert "failed by test" in history


def test_a_release_whose_image_is_gone_is_refused_and_changes_nothing(
    serving: Site, registry: Registry, service_images: ServiceImages
) -> None:
    # Given a version that was pushed, and then deleted from the registry
    digest = registry.push(build_part("chat"), service_images.name, "v6.0.0")
    registry.delete(service_images.name, digest)
    with load(serving.load(GET), "missing") as running:
        # When it is released
        result = serving.tool.run("apply", "v6.0.0", *APPROVED)
    # Then that is refused with the reason
    image = f"{service_images.image}:v6.0.0"
    assert result.status == 1
    assert result.error == f"Error: There is no image {image}: v6.0.0 is an unknown version.\n"
    # And nothing has changed
    assert running.report().problems == []
    assert serving.version() == V1


def test_a_failed_smoke_test_takes_a_release_back(serving: Site) -> None:
    # Given a version that serves, and callers who cannot be heard: their key is another one
    with load(serving.load(GET), "smoke") as running:
        # When a version is released whose smoke test fails
        wrong = {"API_KEYS": f"smoke:{KEY}", "PUBLIC_URL": f"{serving.url}/nowhere"}
        result = serving.tool.run("apply", V2, *APPROVED, **wrong)
    # Then the former version serves again, the command fails and says why
    assert result.status == 1
    assert f"{V2} failed. {V1} serves. The reason: the smoke test failed: " in result.error
    assert "answered 404" in result.error
    assert running.report().problems == []
    assert serving.version() == V1


@pytest.mark.parametrize(
    "steps",
    [
        ("pull the image", "take the lock", "write the journal", "create the secrets"),
        ("update the services", "1 of 2 replicas run NEW"),
        ("smoke test", "close the journal"),
    ],
    ids=["before the update", "in the update", "after the update"],
)
def test_a_killed_release_leaves_the_service_serving_and_can_be_gone_on_with(
    steps: tuple[str, ...], somewhere: Site
) -> None:
    site = somewhere
    new = V2 if site.version() == V1 else V1
    told = f"apply {site.tool.environment} {new} goes on, rollback goes back"
    begun = False
    with load(site.load(GET), "killed") as running:
        for step in (step.replace("NEW", new) for step in steps):
            # Given a release that is killed, with all its connections, at a step
            said = site.tool.kill_at(re.escape(step), "apply", new, *APPROVED)
            assert said.rstrip().endswith(step)
            # When somebody asks how things stand
            status = site.tool.run("status").must().out
            # Then it is told, from the journal's first entry on, and which command goes on
            # (killed right after the words, the entry may still have reached the server)
            begun = begun or step not in {"pull the image", "take the lock", "write the journal"}
            assert begun is (told in status) or step == "write the journal", status
        # And when it is gone on with, it comes to its end
        result = site.tool.run("apply", new, *APPROVED).must()
        assert f"{site.tool.environment} runs {new}" in result.out
    assert site.version() == new
    assert running.report().problems == []
    assert "interrupted" not in site.tool.run("status").must().out


def test_files_outlive_a_killed_container(serving: Site) -> None:
    # Given files in both volumes
    serving.in_service("sh", "-c", "echo kept > /srv/data/index; echo kept > /srv/static/tts/a.txt")
    with load(serving.load(GET), "killed") as running:
        # When a replica's container is killed
        label = f"label=com.docker.swarm.service.name={serving.stack}_service"
        victim = serving.server.docker("ps", "--quiet", "--filter", label).split()[0]
        serving.server.docker("kill", victim)
        # Then another one takes its place, the files are there, and no caller has noticed
        running.phase("after")
        deadline = time.monotonic() + 90
        while "2 of 2 run" not in serving.tool.run("status").must().out:
            assert time.monotonic() < deadline
    assert serving.in_service("cat", "/srv/data/index", "/srv/static/tts/a.txt").split() == [
        "kept",
        "kept",
    ]
    assert running.report().problems == []


def test_two_releases_cannot_interleave(serving: Site) -> None:
    # Given a release that is going on
    results: list[Result] = []
    first = threading.Thread(
        target=lambda: results.append(serving.tool.run("apply", V2, *APPROVED))
    )
    first.start()
    deadline = time.monotonic() + 60
    while "a release is going on" not in (status := serving.tool.run("status").must().out):
        assert time.monotonic() < deadline
    # When another one begins
    second = serving.tool.run("apply", V3, "--approved-by", "somebody else")
    first.join()
    # Then it is refused, with who holds the lock, and the first one comes to its end
    assert f"a release is going on: {V2} by test" in status
    assert second.status == 1
    assert second.error == (
        f"Error: Another release is going on: {V2} by test. Wait for its end. If nobody releases, "
        "its connection was lost without a word: "
        f"docker rm --force {serving.stack}_lock\n"
    )
    results[0].must()
    assert serving.version() == V2


def test_a_plan_holds_until_something_changes(serving: Site, tmp_path: Path) -> None:
    # Given a plan
    file = tmp_path / "plan.json"
    shown = serving.tool.run("plan", V2, f"--output={file}").must().out
    docker_host = serving.tool.variables["DOCKER_HOST"]
    assert f"  server    {docker_host} (production)" in shown
    assert f"  version   {V1} -> {V2}" in shown
    assert "  volume    data/ on data (kept)" in shown
    assert "  volume    static/ on tts (kept)" in shown
    # When the server has changed since
    serving.server.docker(
        "service", "update", "--quiet", "--label-add=x=y", f"{serving.stack}_service"
    )
    refused = serving.tool.run("apply", V2, f"--plan={file}", *APPROVED)
    # Then the plan is refused
    assert refused.status == 1
    assert refused.error == (
        "Error: The server has changed since the plan was made. "
        "Make a new plan, and have it approved.\n"
    )
    assert serving.version() == V1
    # And a new one is carried out, when a person types the version
    serving.tool.run("plan", V2, f"--output={file}").must()
    serving.tool.run("apply", V2, f"--plan={file}", typed=f"{V2}\n").must()
    assert serving.version() == V2


def test_a_person_who_types_something_else_does_not_approve(serving: Site) -> None:
    # Given a person who types something else, or nothing
    for typed in (f"{V1}\n", "yes\n", ""):
        result = serving.tool.run("apply", V2, typed=typed)
        # Then nothing is changed
        assert result.status == 1
        assert result.error == f"Error: Not approved: {V2} was not typed. Nothing was changed.\n"
        assert serving.version() == V1


def test_nobody_at_a_terminal_does_not_approve(serving: Site) -> None:
    # Given a process without a terminal, such as an agent's
    # When it releases, with the version piped in where a person would type it
    for piped in (f"{V2}\n", ""):
        result = serving.tool.run("apply", V2, piped=piped)
        # Then nothing is changed, and it is told why
        assert result.status == 1
        assert result.error == (
            f"Error: Not approved: nobody sits at a terminal to type {V2}. A workflow whose "
            "environment has reviewers says --approved-by NAME. Nothing was changed.\n"
        )
        assert serving.version() == V1


@pytest.mark.parametrize(
    ("command", "variables", "message"),
    [
        (
            ("apply", "latest"),
            {},
            "'latest' is no version: a tag that may move is never released. Name a version such "
            "as v1.2.3, or sha- and the 40 digits of a commit.",
        ),
        (
            ("rollback", "v9.9.9"),
            {},
            "There is no v9.9.9 to go back to: v1.0.0 runs, and the journal of production has",
        ),
        (
            ("apply", V2),
            {"DOCKER_HOST": "ssh://deploy@127.0.0.1:1"},
            "The server ssh://deploy@127.0.0.1:1 cannot be reached: ",
        ),
        (
            ("apply", V2),
            {"SECRETS_FROM": "vault"},
            "SECRETS_FROM=vault: write env, file:PATH, aws:NAME, gcp:NAME or command:PROGRAM.",
        ),
        (
            ("apply", V2),
            {"STACK_FILES": "no-volumes.yaml"},
            "data/ is not on a persistent volume: its files would be lost with the container. "
            "Mount one at /srv/data in deploy/stack.yaml.",
        ),
        (
            ("apply", V2),
            {"PROXY_IMAGE": "127.0.0.1:1/library/haproxy:3.0"},
            "The registry cannot be asked for 127.0.0.1:1/library/haproxy:3.0: ",
        ),
    ],
    ids=["mutable tag", "unknown rollback", "no server", "no source", "no volume", "no registry"],
)
def test_what_must_not_be_released_is_refused(
    command: tuple[str, ...], variables: dict[str, str], message: str, serving: Site
) -> None:
    # Given a stack without the volumes of data/
    stack = (serving.tool.project / "deploy" / "stack.yaml").read_text("utf-8")
    without = stack.replace("      - data:/srv/data\n", "")
    (serving.tool.project / "deploy" / "no-volumes.yaml").write_text(without, "utf-8")
    # When something is asked for that must not be done
    result = serving.tool.run(*command, *APPROVED, **variables)
    # Then it is refused in one sentence, and nothing has changed
    assert result.status == 1
    assert result.error.startswith(f"Error: {message}"), result.error
    assert "Traceback" not in result.error
    assert serving.version() == V1


def test_secrets_that_others_can_read_are_refused(serving: Site, tmp_path: Path) -> None:
    # Given an env file on the machine that releases
    file = tmp_path / "production.env"
    file.write_text(f"API_KEYS=smoke:{KEY}\n", "utf-8")
    file.chmod(0o644)
    # When it is the source of secrets, Then it is refused until nobody else can read it
    result = serving.tool.run("apply", V2, *APPROVED, SECRETS_FROM=f"file:{file}")
    assert result.error == f"Error: {file} can be read by others (mode 644): chmod 600 {file}\n"
    file.chmod(0o600)
    serving.tool.run("plan", V2, SECRETS_FROM=f"file:{file}").must()


def test_a_server_that_manages_no_swarm_is_refused(
    new_server: NewServer, site: Site, tmp_path: Path
) -> None:
    # Given a server on which docker runs alone
    with new_server("alone") as server:
        # When something is released to it
        variables = server.ssh_environment(tmp_path)
        result = site.tool.run("apply", V1, *APPROVED, **variables)
    # Then it is refused with the remedy
    assert result.error == (
        "Error: The server alone manages no swarm. Once, on the server: docker swarm init\n"
    )


def test_a_release_without_a_needed_secret_is_refused(
    new_server: NewServer, site: Site, tmp_path: Path
) -> None:
    # Given a server that was never released to, and no certificate
    with new_server("new") as server:
        server.start_swarm()
        variables = {**server.ssh_environment(tmp_path), "TLS_CERTIFICATE": ""}
        # When a version is released, Then the missing secret is named
        result = site.tool.run("apply", V1, *APPROVED, **variables)
    assert result.error == (
        "Error: Secrets are missing: TLS_CERTIFICATE. "
        "make secrets-check ENVIRONMENT=production says what each is for.\n"
    )


def test_a_secret_is_nowhere_but_in_its_file(serving: Site) -> None:
    # Given values of their own in every secret that the service and the proxy have
    table = tomllib.loads((serving.tool.project / "deploy" / "secrets.toml").read_text("utf-8"))
    used = [name for name, row in table.items() if row["used_by"] == "service"]
    canaries = {name: f"canary-{name.lower()}-71c9" for name in used}
    canaries["API_KEYS"] = f"smoke:{canaries['API_KEYS']}"
    needles = [value.rpartition(":")[2] for value in canaries.values()]
    assert len(needles) >= 3
    # When a version is released with them, while the processes of both machines are watched
    watched = Watch(serving)
    plan = serving.tool.project / "plan.json"
    said = serving.tool.run("plan", V2, f"--output={plan}", **canaries).must().out
    with watched:
        said += serving.tool.run("apply", V2, *APPROVED, **canaries).must().out
    said += serving.tool.run("status").must().out + serving.tool.run("history").must().out
    said += serving.tool.make("secrets-check", "ENVIRONMENT=production").must().out
    assert "on the server" in said
    # Then they are in nothing that was said, planned, noted or logged, in no argument of a process
    server = serving.server
    service = f"{serving.stack}_service"
    configs = server.docker("config", "ls", "--quiet").split()
    places = {
        "output": said,
        "plan": plan.read_text("utf-8"),
        "processes": watched.seen,
        "services": server.docker("service", "inspect", service, f"{serving.stack}_proxy"),
        "containers": server.docker("inspect", *server.docker("ps", "--all", "--quiet").split()),
        "journal": "".join(
            base64.b64decode(config["Spec"]["Data"]).decode()
            for config in json.loads(server.docker("config", "inspect", *configs))
        ),
        "log of the service": server.exec("sh", "-c", f"docker service logs {service} 2>&1"),
        "log of the proxy": server.exec(
            "sh", "-c", f"docker service logs {serving.stack}_proxy 2>&1"
        ),
        "environment": serving.in_service("sh", "-c", "tr '\\0' '\\n' < /proc/1/environ"),
    }
    for place, text in places.items():
        assert text, place
        for needle in needles:
            assert needle not in text, f"{needle} in {place}"
    # And in no file of the container but those under /run/secrets, which its user alone can read
    search = "grep -rlF canary- / --exclude-dir=proc --exclude-dir=sys 2>/dev/null | sort -u"
    found = set(serving.in_service("sh", "-c", f"{search}; true").split())
    assert found == {f"/run/secrets/{name}" for name in used}
    modes = serving.in_service("sh", "-c", "stat -c '%a %u' /run/secrets/* | sort -u")
    assert modes == "400 10001"
    # (the certificate's key is the proxy's alone)
    assert "TLS_CERTIFICATE" not in "".join(found)


class Watch:
    """Notes the arguments of every process of this machine and of the server, within a block."""

    def __init__(self, site: Site) -> None:
        self.seen = ""
        self._site = site
        self._lines: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.seen = "\n".join(sorted(self._lines))

    def _look(self) -> None:
        # The server's processes are this machine's too: it is a container.
        while not self._stop.wait(0.05):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    self._lines.add(
                        file.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                    )
