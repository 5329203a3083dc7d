"""``make delivery-demo``: a change on its way to production and back, told in a few lines.

Real are the workflows (run by nektos/act, with stand-ins for published actions), the registry, two
servers that are reached over SSH, their swarms, the service with its trained weights, and the load.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import httpx2

from tests.containers.engine import EngineError
from tools.delivery.story import Step, Story, story
from tools.delivery.workflow_runner import Run, WorkflowError
from tools.environments import CACHE, ROOT, environment

CPU_BASE = "kodex-stand-in/python:3.11-slim"
CUDA_TAG = "12.8.1-base-ubuntu22.04"
LOCKS = ROOT / "{{cookiecutter.project_slug}}" / "requirements"
SHORT = 19


class DemoError(Exception):
    """The story went another way than it should."""


def main() -> int:
    """Tell the story; return 1 with a sentence when a part of it fails."""
    tools = (
        ("tools/container-engine.sh",),
        ("tools/stand-in-images.sh", CUDA_TAG, str(CACHE / "stand-ins")),
        ("tools/system-packages.sh", "openssh-client", "openssl", "ffmpeg", "espeak-ng"),
    )
    try:
        for name, *arguments in tools:
            subprocess.run([str(ROOT / name), *arguments], check=True)
        with tempfile.TemporaryDirectory(prefix="kodex-delivery-") as folder:
            options = f"--build-arg BASE_IMAGE={CPU_BASE}"
            print("two servers, a registry and a project ...", flush=True)
            scene = Path(folder)
            made = partial(render, scene / "project")
            with story(scene, made, weights(), build_options=options) as told:
                tell(told)
    except subprocess.CalledProcessError as error:
        print(f"Error: {error.cmd[0]} failed.", file=sys.stderr)
        return 1
    except (DemoError, EngineError, WorkflowError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def tell(told: Story) -> None:
    """Play the story and print each step."""
    first = told.runner.commit("feat: names of our servers")
    play(
        told, told.run("push to main: CI, build, scan, sign, staging", "cd-staging.yml", "staging")
    )
    told.runner.tag("v1.0.0", first)
    production = ("cd-production.yml", "production")
    play(told, told.run("tag v1.0.0: production", *production, ref="refs/tags/v1.0.0"))

    settings = told.runner.source / "settings.toml"
    text = settings.read_text("utf-8")
    settings.write_text(f'{text}system_prompt = "Be brief."\n', "utf-8")
    second = told.runner.commit("feat: shorter answers")
    play(told, told.run("push to main: staging", "cd-staging.yml", "staging"))
    told.runner.tag("v1.1.0", second)
    with told.under_load("production"):
        name = "v1.1.0 by hand: rolling update under load"
        run = told.run(name, *production, "workflow_dispatch", version="v1.1.0")
    play(told, run)
    with told.under_load("production"):
        name = "rollback under load"
        back = ("rollback.yml", "production", "workflow_dispatch")
        run = told.run(name, *back, environment="production", version="")
    play(told, run)


def play(told: Story, run: Run) -> None:
    """Print the last step. Raises DemoError when it failed."""
    step = told.steps[-1]
    if run.status != 0:
        raise DemoError(f"{step.name}: {', '.join(run.failed_steps)} failed.\n{run.log[-2000:]}")
    print(f"\n{step.name} ({step.seconds:.0f} s)")
    for name in told.servers:
        try:
            version, digest = told.version(name), told.deployed_digest(name)
        except (EngineError, httpx2.HTTPError):
            continue  # nothing is deployed there yet
        print(f"  {name:10} {version[:16]:16} {digest[:SHORT]}")
    print_load(step)


def print_load(step: Step) -> None:
    """Print what the callers met. Raises DemoError when one of them failed."""
    report = step.report
    if report is None:
        return
    p99 = report.phases[-1].p99_ms or 0
    print(
        f"  callers    {report.requests} requests, {report.streams} streams, "
        f"{report.failed} failed, p99 {p99:.0f} ms"
    )
    if report.problems:
        raise DemoError("; ".join(report.problems))


def render(folder: Path, answers: dict[str, str]) -> Path:
    """Make a project in a folder; return the project's own."""
    pairs = [f"{name}={value}" for name, value in answers.items()]
    command = [sys.executable, "-m", "cookiecutter", str(ROOT), "--no-input", *pairs]
    subprocess.run([*command, f"--output-dir={folder}"], check=True, stdout=subprocess.DEVNULL)
    return folder / answers["project_slug"]


def weights() -> Path:
    """Return the folder of trained weights, fetched when it is not there."""
    folder = CACHE / "weights" / "packages"
    files = [
        LOCKS / "torch-cpu.txt",
        LOCKS / "dev-supertonic.txt",
        *sorted(LOCKS.glob("cpu-*.txt")),
    ]
    python = environment(files)
    tool = [sys.executable, str(ROOT / "tools" / "weights.py"), str(folder)]
    subprocess.run([*tool, "--python", str(python)], check=True, stdout=subprocess.DEVNULL)
    return folder


if __name__ == "__main__":
    sys.exit(main())
