"""Files that differ among variants, each one read by the program that it is for.

Other tests build and start a few variants. These take all of them, as far as that goes without the
hours: a plan of uv in place of gigabytes, the settings in place of a service, act's list of jobs in
place of servers.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.conftest import Answers, Render, name_of, product_of
from tests.render.test_locks import versions
from tools.delivery.workflow_runner import ACT_CANNOT_READ
from tools.environments import sources

ENGINES = product_of("device", "stt_engine", "llm_engine", "tts_engine")
each_variant = pytest.mark.parametrize("answers", ENGINES, ids=name_of)
# The answers that the workflows and the table of secrets depend on.
each_set_of_keys = pytest.mark.parametrize(
    "answers", product_of("llm_engine", "tts_engine"), ids=name_of
)
# Ubuntu 22.04, which the older of the two images is built on, has this libc.
MACHINE = ("--python-version=3.11", "--python-platform=x86_64-manylinux_2_35")
# The library of NVIDIA's driver is in the GPU's own environment; the settings need none of it.
READ_SETTINGS = """
import json, sys
from unittest.mock import MagicMock
sys.modules.setdefault("pynvml", MagicMock())
from app.ai.engines import read_configuration
found = read_configuration()
parts = [found.settings, *found.own.values()]
print(json.dumps({k: v for part in parts for k, v in part.model_dump(mode="json").items()}))
"""
# The proxy's image has a digest, so that no registry has to be asked for it.
MERGE = """
import json, sys
from deploy.project import read_target
from deploy.stack import fragment, read_release, resolve
target = read_target(sys.argv[1])
release = read_release(target, "v1.0.0", f"{target.image}:v1.0.0@sha256:{'1' * 64}")
print(json.dumps([target.stack, resolve(target, release, fragment(release, {}, {}))]))
"""


def uv(project: Path, *arguments: str) -> str:
    """Run uv with pip's package sources; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "uv", "--no-progress", "pip", *arguments],
        cwd=project,
        check=False,
        capture_output=True,
        text=True,
        env={**sources(), **os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def locks(project: Path) -> list[Path]:
    """Return a project's locks of its service and its tools."""
    names = ("requirements.txt", "requirements-dev.txt", "requirements-torch.txt")
    return [project / name for name in names if (project / name).exists()]


@pytest.mark.service
@each_variant
def test_uv_would_install_what_is_locked(answers: Answers, render: Render, tmp_path: Path) -> None:
    # Given a project's locks
    project = render(answers)
    files = [part for file in locks(project) for part in ("--requirements", str(file))]
    # When uv plans to install them where there is nothing, on the image's machine
    target = f"--target={tmp_path}"
    plan = uv(
        project, "install", "--dry-run", "--no-deps", "--require-hashes", target, *MACHINE, *files
    )
    # Then every version can be had, as a wheel for that machine or as a source
    planned = dict(re.findall(r"^ \+ (\S+)==(\S+)$", plan, re.MULTILINE))
    locked = {name: pin for file in locks(project) for name, pin in versions(file).items()}
    assert planned
    assert planned.items() <= locked.items()


@pytest.mark.service
@each_variant
def test_the_locks_are_what_pyproject_asks_for(answers: Answers, render: Render) -> None:
    # Given a project's pyproject.toml, and its locks
    project = render(answers)
    locked = [f"--constraints={file}" for file in locks(project)]
    # When uv looks for versions that satisfy both
    asked = ("pyproject.toml", "--group=pyproject.toml:dev")
    bare = ("--no-deps", "--no-header", "--no-annotate", "--quiet")
    found = uv(project, "compile", *bare, *MACHINE, *locked, *asked)
    # Then there are such, one for each package that is asked for
    wanted = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
    groups = wanted["project"]["dependencies"], wanted["dependency-groups"]["dev"]
    names = {re.split(r"[\[=<>]", line)[0] for group in groups for line in group}
    assert {line.partition("==")[0] for line in found.splitlines()} == names


@pytest.mark.service
@each_variant
def test_the_service_reads_its_settings(
    answers: Answers, render: Render, every_engine: Path
) -> None:
    # Given a project as it is generated
    project = render(answers)
    # When its code reads its settings
    variables = {"PATH": os.environ["PATH"], "SECRETS_DIR": str(project / "none")}
    done = subprocess.run(
        [str(every_engine), "-c", READ_SETTINGS],
        cwd=project,
        check=False,
        capture_output=True,
        text=True,
        env=variables,
    )
    # Then they are complete and possible, and every line of settings.toml has got through
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    own = tomllib.loads((project / "settings.toml").read_text("utf-8"))
    assert {name: read.get(name) for name in own} == own


@each_set_of_keys
def test_act_reads_every_workflow(answers: Answers, render: Render, tmp_path: Path) -> None:
    # Given a project in its repository
    shutil.copytree(render(answers) / ".github", tmp_path / ".github")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    jobs = set()
    for file in (tmp_path / ".github" / "workflows").glob("*.yml"):
        text = file.read_text("utf-8")
        for pattern, replacement in ACT_CANNOT_READ:
            text = re.sub(pattern, replacement, text)
        file.write_text(text, "utf-8")
        jobs |= {(file.name, job) for job in yaml.safe_load(text)["jobs"]}
    # When a runner lists what it would run
    act = Path(sysconfig.get_path("scripts"), "act")
    variables = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [str(act), "--list"], cwd=tmp_path, check=False, capture_output=True, text=True,
        env=variables,
    )  # fmt: skip
    # Then it has understood every workflow, and lists each of its jobs
    assert done.returncode == 0, done.stderr
    listed = [line.split() for line in done.stdout.splitlines()[1:]]
    found = {(word, line[1]) for line in listed for word in line if word.endswith(".yml")}
    assert found == jobs


@each_set_of_keys
def test_the_release_tool_reads_its_table_of_secrets(answers: Answers, render: Render) -> None:
    # Given a project, and nothing set
    project = render(answers)
    table = tomllib.loads((project / "deploy" / "secrets.toml").read_text("utf-8"))
    # When it is asked which secrets are missing
    done = subprocess.run(
        ["make", "--silent", "secrets-check", f"PYTHON={sys.executable}"],
        cwd=project,
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
    )
    # Then it lists those of the servers, line by line, with what each is for
    of_servers = {name: row for name, row in table.items() if row["used_by"] != "workflows"}
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines() if line.startswith("  ")]
    assert {name: purpose for name, _, purpose in lines} == {
        name: row["purpose"] for name, row in of_servers.items()
    }
    missing = {name for name, state, _ in lines if state == "MISSING"}
    assert missing == {name for name, row in of_servers.items() if row["required"]}


@pytest.mark.parametrize("tts", ["supertonic", "espeak-ng"])
def test_ci_installs_the_packages_of_the_voice(tts: str, render: Render, tmp_path: Path) -> None:
    # Given CI's step, and a machine that writes down what it is asked to install
    project = render({"tts_engine": tts})
    steps = yaml.safe_load((project / ".github/workflows/ci.yml").read_text("utf-8"))
    (script,) = (
        step["run"]
        for step in steps["jobs"]["test"]["steps"]
        if step.get("name", "").startswith("Install system packages")
    )
    sudo = tmp_path / "sudo"
    sudo.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/log\n', "utf-8")
    sudo.chmod(0o755)
    # When bash runs it as GitHub does
    subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=project,
        check=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    # Then the packages that project.env names are installed, each by its own word
    installed = (tmp_path / "log").read_text("utf-8").splitlines()[-1].split()
    voice = ["espeak-ng"] if tts == "espeak-ng" else []
    assert installed[-2 - len(voice) :] == ["build-essential", "ffmpeg", *voice]


@pytest.mark.containers
@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize("answers", product_of("device", "tts_engine"), ids=name_of)
def test_the_release_tool_merges_the_stack(
    environment: str, answers: Answers, render: Render
) -> None:
    # Given a project, with the names and the settings that it is generated with
    if shutil.which("docker") is None:
        reason = "There is no docker command: see tools/container-engine.sh."
        pytest.fail(reason) if os.environ.get("KODEX_REQUIRE_REAL") else pytest.skip(reason)
    project = render(answers)
    # When the release tool has docker merge the stack's files
    done = subprocess.run(
        [sys.executable, "-c", MERGE, environment],
        cwd=project,
        check=False,
        capture_output=True,
        text=True,
        env={
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "PROXY_IMAGE": f"haproxy:3.2.4-alpine@sha256:{'2' * 64}",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )
    # Then they are a stack of two replicas, of the project's own name and image
    assert done.returncode == 0, done.stderr
    name, stack = json.loads(done.stdout)
    service = stack["services"]["service"]
    assert name == f"kodex-voice-{environment}"
    assert service["image"].startswith("ghcr.io/my-org/kodex-voice:v1.0.0@sha256:")
    assert service["deploy"]["replicas"] == 2
    # And a GPU is reserved for each replica where the project has one
    reserved = service["deploy"]["resources"].get("reservations", {})
    kinds = [one["discrete_resource_spec"]["kind"] for one in reserved.get("generic_resources", [])]
    assert kinds == (["NVIDIA-GPU"] if answers["device"] == "gpu" else [])
