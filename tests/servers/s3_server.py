"""A real S3 server (moto) in a process of its own, with one bucket."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tools.service_process import free_port

PATIENCE = 30.0


@contextmanager
def running(url: str, *command: str) -> Iterator[str]:
    """Run a server in a process of its own until the block ends."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE
        while not answers(url):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(url):
        return True
    return False


@contextmanager
def serving_s3(host: str) -> Iterator[str]:
    """Run an S3 server on a free port of an address, and give its URL."""
    url = f"http://{host}:{free_port()}"
    port = url.rpartition(":")[2]
    command = (sys.executable, "-m", "moto.server", "-H", host, "-p", port)
    with running(f"{url}/moto-api/", *command):
        yield url


def make_bucket(address: str) -> None:
    """Empty the server and make the bucket ``bucket``."""
    ask(address, "POST", "/moto-api/reset")
    ask(address, "PUT", "/bucket")


def ask(address: str, method: str, path: str, body: bytes = b"") -> None:
    """Send a request to the S3 server itself."""
    headers = {
        "Authorization": "AWS4-HMAC-SHA256 Credential=id/20250101/us-east-1/s3/aws4_request",
        "Content-Type": "application/octet-stream",
    }
    request = urllib.request.Request(address + path, body, headers, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE):
        pass


def upload(address: str, files: Mapping[str, bytes]) -> str:
    """Put files and their checksums into the bucket; return the SHA-256 of these."""
    lines = (f"{hashlib.sha256(content).hexdigest()}  ./{name}" for name, content in files.items())
    sums = "\n".join(lines).encode()
    for name, content in {**files, "SHA256SUMS": sums}.items():
        ask(address, "PUT", f"/bucket/weights/{urllib.parse.quote(name)}", content)
    return hashlib.sha256(sums).hexdigest()
