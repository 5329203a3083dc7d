"""The real parts, each by itself: what the tests of delivery stand on."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import openai
import pytest

from tests.containers.conftest import MOUNTED, TRAINED
from tests.containers.engine import FRESH, KEY, Container, EngineError, docker, running
from tests.delivery.conftest import CRASHES, GOOD, NEVER_READY, NewServer, ServiceImages
from tools.delivery.certificate import Certificate
from tools.delivery.images import build
from tools.delivery.load import LoadError, Plan, Request, Stream, load
from tools.delivery.network import Network, leftovers, network
from tools.delivery.registry import Registry, running_registry
from tools.delivery.server import running_server

pytestmark = pytest.mark.slow  # every other test of this level stands on the same parts
STACK = Path(__file__).with_name("parts.stack.yaml")
DRAIN_SECONDS = 5.0
TOKENS = 5
EXIT_CRASH = 70


def local_docker(environment: dict[str, str], *arguments: str) -> str:
    """Run this machine's docker command with other variables."""
    variables = {**os.environ, **environment}
    done = subprocess.run(
        ["docker", *arguments], check=True, capture_output=True, text=True, env=variables
    )
    return done.stdout.strip()


def test_a_registry_tells_tags_and_digests_and_deletes(registry: Registry) -> None:
    # Given an image under two tags
    first = registry.push(build("proxy"), "tests/proxy", "v1")
    second = registry.push(build("proxy"), "tests/proxy", "v2")
    # When asked, Then it knows both, and nothing else
    assert registry.tags("tests/proxy") == ["v1", "v2"]
    assert first == second == registry.digest("tests/proxy", "v1")
    assert registry.digest("tests/proxy", "v3") is None
    assert registry.tags("tests/other") == []
    # And what is deleted is gone, under every tag
    registry.delete("tests/proxy", first)
    assert registry.digest("tests/proxy", "v2") is None


def test_a_registry_with_a_password_lets_nobody_else_in(network: Network, tmp_path: Path) -> None:
    # Given a registry with a user
    with running_registry(network, "private", "ci", "pass word") as private:
        # When the user pushes, Then the image is there
        private.push(build("proxy"), "tests/proxy", "v1")
        assert private.tags("tests/proxy") == ["v1"]
        # And everybody else is refused
        image = f"{private.address}/tests/proxy:v1"
        with pytest.raises(EngineError, match="no basic auth credentials"):
            docker("pull", image, DOCKER_CONFIG=str(tmp_path))
        assert httpx2.get(f"http://{private.address}/v2/").status_code == 401


def test_a_local_docker_works_on_a_server_over_ssh(
    new_server: NewServer, registry: Registry, chat: str, tmp_path: Path
) -> None:
    # Given a server, and an image in the registry
    digest = registry.push(build("chat"), "tests/chat", "v1")
    image = f"{registry.address}/tests/chat"
    with new_server("alone") as server:
        environment = server.ssh_environment(tmp_path)
        # When this machine's docker is told to work there
        assert local_docker(environment, "info", "--format={{.Name}}") == "alone"
        # Then it pulls by the name that is used here, and runs what it has pulled
        local_docker(environment, "pull", "--quiet", f"{image}@{digest}")
        publish = "--publish=8080:8000"
        local_docker(environment, "run", "--detach", publish, f"{image}@{digest}")
        url = f"http://127.0.0.1:{server.port(8080)}/health"
        with httpx2.Client(transport=httpx2.HTTPTransport(retries=10)) as client:
            assert client.get(url).json()["version"] == "dev"
        # And a container there reaches the language model
        ask = f"import urllib.request as u; print(u.urlopen('{chat}/models').read().decode())"
        assert "numbers" in server.docker("run", "--rm", f"{image}@{digest}", "python3", "-c", ask)
        # And without the server's own key there is no way in
        (tmp_path / "known_hosts").write_text("", "utf-8")
        with pytest.raises(subprocess.CalledProcessError) as refused:
            local_docker(environment, "version")
        assert "Host key verification failed" in refused.value.stderr


def test_folders_are_copied_into_a_volume_of_a_server(
    new_server: NewServer, tmp_path: Path
) -> None:
    # Given a folder of weights, and a server
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("w", "utf-8")
    with new_server("stored") as server:
        # When it is copied into a volume that is not there yet
        server.fill_volume("models", tmp_path / "model")
        # Then the service's user owns it
        listed = server.exec("find", "/var/lib/docker/volumes/models/_data", "-printf", "%U %P\n")
    assert sorted(listed.split("\n")) == ["10001 ", "10001 model", "10001 model/weights"]


def test_two_servers_roll_a_service_under_load(
    new_server: NewServer,
    registry: Registry,
    proxy_image: str,
    certificate: Certificate,
    tmp_path: Path,
) -> None:
    # Given a swarm of two servers, a service on both, and a proxy that ends TLS on one of them
    registry.push(build("chat"), "tests/chat", "v1")
    pem = tmp_path / "certificate"
    pem.write_text(certificate.pem, "utf-8")
    names = {
        "SERVICE_IMAGE": f"{registry.address}/tests/chat:v1",
        "PROXY_IMAGE": proxy_image,
        "CERTIFICATE_FILE": str(pem),
    }
    with new_server("one") as manager, new_server("two") as worker:
        manager.start_swarm()
        worker.join(manager)
        environment = manager.ssh_environment(tmp_path) | names
        deploy = ("--detach=true", f"--compose-file={STACK}", "s")
        local_docker(environment, "stack", "deploy", *deploy)
        url = f"https://127.0.0.1:{manager.port(8443)}"
        until_healthy(url, certificate)
        hosts = local_docker(environment, "service", "ps", "s_service", "--format={{.Node}}")
        assert set(hosts.split()) == {"one", "two"}
        # When another version is rolled out under load
        plan = Plan(
            url,
            (Request("/health"), Request("/v1/chat/completions", {"max_tokens": 1})),
            streams=4,
            stream=Stream(tokens=20),
            authority=str(certificate.authority),
        )
        with load(plan, "v1") as running:
            running.until_requests(400, 30)
            running.phase("v1 -> v2")
            update = ("--quiet", "--detach=false", "--env-add=VERSION=v2", "s_service")
            local_docker(environment, "service", "update", *update)
            time.sleep(DRAIN_SECONDS)
            running.phase("v2")
            running.until_requests(running.report().requests + 400, 30)
        # Then every request is answered and no stream is cut
        report = running.report()
        assert report.problems == []
        assert set(report.phase("v1").versions) == {"v1"}
        assert set(report.phase("v1 -> v2").versions) == {"v1", "v2"}
        assert set(report.phase("v2").versions) == {"v2"}
        assert sum(phase.streams_complete for phase in report.phases) >= 12
        # And a server that is killed is gone at once
        worker.kill()
        assert not worker.container.alive
        assert manager.container.alive


def until_healthy(url: str, certificate: Certificate) -> None:
    """Wait until a service answers through its proxy."""
    trusted = ssl.create_default_context(cafile=certificate.authority)
    deadline = time.monotonic() + 60
    while True:
        try:
            reply = httpx2.get(f"{url}/health", verify=trusted)
            if reply.status_code == httpx2.codes.OK:
                return
        except httpx2.TransportError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_nothing_is_left_of_a_story_that_fails() -> None:
    # Given a story with a registry and a server, a step of which fails
    made = []

    def story() -> None:
        with (
            network() as net,
            running_registry(net) as registry,
            running_server(net, registry, "one") as server,
        ):
            containers = leftovers(net.name)[:-1]
            volumes = "{{range .Mounts}}{{.Name}} {{end}}"
            made.extend([net.name, *docker("inspect", f"--format={volumes}", *containers).split()])
            assert len(containers) == 2
            server.docker("inspect", "nothing")

    # When it is told
    with pytest.raises(EngineError, match="No such"):
        story()
    # Then its containers and its network are gone, and so are the volumes
    name, *volumes = made
    assert leftovers(name) == []
    assert len(volumes) == 2
    assert not set(volumes) & set(docker("volume", "ls", "--quiet").split())


def test_the_chat_server_speaks_as_openai_does(chat: str) -> None:
    # Given the server, and OpenAI's own client
    client = openai.OpenAI(base_url=chat, api_key="none", max_retries=0)
    messages: list[openai.types.chat.ChatCompletionMessageParam] = [
        {"role": "user", "content": "Count."}
    ]
    # When it answers at once, and in pieces
    answer = client.chat.completions.create(model="numbers", messages=messages, max_tokens=3)
    chunks = list(
        client.chat.completions.create(
            model="numbers", messages=messages, max_tokens=4, stream=True
        )
    )
    # Then the tokens are there, and the reason of the end
    assert answer.choices[0].message.content == "0 1 2 "
    assert answer.choices[0].finish_reason == "length"
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["0 ", "1 ", "2 ", "3 ", None]
    assert chunks[-1].choices[0].finish_reason == "length"


class Faults(BaseHTTPRequestHandler):
    """A server that fails in every way there is, one after the other, and counts."""

    protocol_version = "HTTP/1.1"
    done: Counter[str]
    lock = threading.Lock()

    def turn(self, *ways: str) -> str:
        """Return the next of several ways to answer."""
        with self.lock:
            way = ways[self.done[self.command] % len(ways)]
            self.done[self.command] += 1
            self.done[way] += 1
        return way

    def do_GET(self) -> None:
        way = self.turn("good", "good", "status", "silent", "short", "idle", "no json", "garbage")
        if way == "silent":
            self.close_connection = True
            return
        if way == "garbage":
            self.wfile.write(b"nonsense\r\n\r\n")
            self.close_connection = True
            return
        body = b"{" if way == "no json" else b'{"version": "v1"}'
        self.send_response(503 if way == "status" else 200)
        self.send_header("Content-Length", str(len(body) + (way == "short")))
        self.end_headers()
        self.wfile.write(body)
        # A connection that is closed without a word before: no failure, as nobody waits.
        self.close_connection = way in {"short", "idle"}

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        way = self.turn("whole", "refused", "unfinished", "torn", "swapped", "error")
        numbers = [0, 2, 1, 3, 4] if way == "swapped" else range(TOKENS)
        events = [json.dumps({"choices": [{"delta": {"content": f"{n} "}}]}) for n in numbers]
        events += {"unfinished": [], "error": ['{"error": {}}']}.get(way, ["[DONE]"])
        content = "".join(f"data: {event}\n\n" for event in events).encode()
        self.send_response(429 if way == "refused" else 200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%b" % (len(content), content[: 20 if way == "torn" else None]))
        if way != "torn":
            self.wfile.write(b"\r\n0\r\n\r\n")
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def faulty() -> Iterator[tuple[str, Counter[str]]]:
    """Run a server that fails; give its URL and what it does."""
    Faults.done = Counter()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Faults)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", Faults.done
    finally:
        server.shutdown()
        server.server_close()


def test_the_load_counts_every_failure() -> None:
    # Given a server that fails in every way, and at last is not there
    streams = Stream(tokens=TOKENS)
    with faulty() as (url, done):
        plan = Plan(url, streams=2, stream=streams, interval_seconds=0.02, timeout_seconds=5)
        # When clients ask it
        with load(plan, "faults") as running:
            running.until_requests(400, 30)
    with load(plan, "gone") as nobody:
        nobody.until_requests(50, 30)
    # Then each failure is counted once, by its kind
    report = running.report()
    phase = report.phase("faults")
    assert {kind: failure.count for kind, failure in phase.failures.items()} == {
        "status 503": done["status"],
        "closed without an answer": done["silent"],
        "cut in the body": done["short"],
        "the answer is no JSON object": done["no json"],
        "the answer is no HTTP": done["garbage"],
        "stream: status 429": done["refused"],
        "stream: cut": done["unfinished"],
        "stream: cut in the body": done["torn"],
        "stream: tokens are missing or out of order": done["swapped"],
        "stream: an error in its midst": done["error"],
    }
    assert phase.requests == done["GET"]
    assert phase.versions == {"v1": done["good"] + done["idle"]}
    assert phase.streams_complete == done["whole"]
    assert phase.streams_complete + phase.streams_cut == done["POST"] == report.streams
    assert report.failed == phase.failed
    assert 0 < phase.reopened <= done["idle"]
    assert {len(line) > 0 for line in report.problems} == {True}
    # And so is a server that is not there
    assert set(nobody.report().phase("gone").failures) == {
        "connect: Connection refused",
        "stream: connect: Connection refused",
    }


def test_the_load_gives_up_on_an_answer_that_does_not_come() -> None:
    # Given a server that accepts and says nothing
    with ThreadingHTTPServer(("127.0.0.1", 0), Faults) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        plan = Plan(url, keep_alive=2, fresh=1, streams=1, timeout_seconds=0.3)
        # When it is asked
        with load(plan) as running:
            running.until_requests(6, 10)
    # Then all have failed
    assert set(running.report().phases[0].failures) == {"timeout", "stream: timeout"}


def test_a_certificate_that_nobody_vouches_for_is_a_failure(
    certificate: Certificate, network: Network, tmp_path: Path
) -> None:
    # Given a proxy with a certificate of a test authority
    settings = "defaults\n mode http\n timeout connect 1s\n timeout client 9s\n timeout server 9s\n"
    settings += "frontend f\n bind :8443 ssl crt /cert.pem\n http-request return status 200\n"
    files = {"/usr/local/etc/haproxy/haproxy.cfg": settings, "/cert.pem": certificate.pem}
    mounts = []
    for number, (target, text) in enumerate(files.items()):
        (tmp_path / str(number)).write_text(text, "utf-8")
        mounts.append(f"--volume={tmp_path / str(number)}:{target}:ro")
    with network.container("tls", build("proxy"), *mounts, "--publish=127.0.0.1::8443") as proxy:
        url = f"https://127.0.0.1:{proxy.port(8443)}"
        requests = (Request("/"),)
        until_healthy(url, certificate)
        # When clients know the authority, and when they do not
        with load(Plan(url, requests, authority=str(certificate.authority))) as trusting:
            trusting.until_requests(100, 30)
        with load(Plan(url, requests)) as wary:
            wary.until_requests(20, 30)
    # Then the first are served, and the others say why they are not
    assert trusting.report().problems == []
    assert list(wary.report().phases[0].failures) == ["TLS: CERTIFICATE_VERIFY_FAILED"]


def test_clients_that_have_died_are_an_error() -> None:
    # Given a plan that the clients cannot follow
    plan = Plan("https://127.0.0.1", authority="/missing.pem")

    def ask() -> None:
        with load(plan) as running:
            running.report()

    # When they are started, Then their last word is told
    with pytest.raises(LoadError, match="the clients have ended: FileNotFoundError"):
        ask()


@contextmanager
def release(
    images: ServiceImages, version: str, weights: Path, network: Network, chat: str
) -> Iterator[Container]:
    """Run a release on this machine, with its weights and its language model."""
    image = f"{images.image}@{images.digests[version]}"
    settings = {
        "STT_MODEL": f"{MOUNTED}/whisper-base-ct2",
        "LLM_BASE_URL": chat,
        "LLM_WORKERS": "2",
        **TRAINED,
    }
    mount = f"--volume={weights}:{MOUNTED}:ro"
    where = (f"--network={network.name}", "--publish=127.0.0.1::8000")
    try:
        with running(image, mount, *FRESH, *where, settings=settings) as container:
            yield container
    finally:
        docker("image", "rm", "--force", image)


def test_a_good_release_passes_streams_on(
    service_images: ServiceImages, weights: Path, network: Network, chat: str
) -> None:
    # Given releases that are all different, one of which runs
    assert len(set(service_images.digests.values())) == len(service_images.digests) == 5
    with release(service_images, GOOD[0], weights, network, chat) as container:
        container.until_ready()
        # When clients ask it, and read what its language model writes
        with load(Plan(container.url, streams=2, interval_seconds=0.2, key=KEY)) as running_load:
            running_load.until_requests(200, 30)
    # Then all is answered, to the last token
    report = running_load.report()
    assert report.problems == []
    assert report.streams >= 2


def test_a_release_that_is_never_ready_is_alive(
    service_images: ServiceImages, weights: Path, network: Network, chat: str
) -> None:
    # Given a release that never finishes loading
    with release(service_images, NEVER_READY, weights, network, chat) as container:
        # When it is alive
        container.until(lambda: answers(container.url), "alive")
        # Then it is not ready, then or later
        for _ in range(5):
            assert container.get("/ready").status_code == 503
            assert container.get("/health").status_code == 200
            time.sleep(1)


def test_a_release_that_crashes_has_been_ready(
    service_images: ServiceImages, weights: Path, network: Network, chat: str
) -> None:
    # Given a release that crashes
    with release(service_images, CRASHES, weights, network, chat) as container:
        # When it is ready
        container.until_ready()
        # Then it ends soon after
        status, _ = container.until_exited()
    assert status == EXIT_CRASH


def answers(url: str) -> bool:
    """Tell whether a service is alive."""
    try:
        return httpx2.get(f"{url}/health").status_code == httpx2.codes.OK
    except httpx2.TransportError:
        return False
