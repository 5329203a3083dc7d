"""Every route, fed by schemathesis with whatever its schema allows and forbids."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx2

from tools.service_process import Service


def test_no_request_is_a_server_error(local: Service, tmp_path: Path) -> None:
    # Given the service's own description of itself
    described = httpx2.get(f"{local.url}/openapi.json").json()["paths"]
    operations = sum(len(methods) for methods in described.values())
    # When schemathesis sends every kind of request that it tells of, good and bad
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "--no-color", "run"),
            *(f"{local.url}/openapi.json", "--header", f"Authorization: Bearer {local.key}"),
            *("--checks", "not_a_server_error", "--phases", "examples,coverage,fuzzing"),
            *("--max-examples", "20", "--seed", "1", "--suppress-health-check", "all"),
            # A model may write for long on a busy machine: this asks for errors, not for speed.
            *("--request-timeout", "120"),
        ],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    # Then every route was called, and none answered with a server error
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    tested = re.search(r"Tested: +(\d+)", done.stdout)
    assert tested is not None, done.stdout
    assert int(tested[1]) == operations
