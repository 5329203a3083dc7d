"""A template with a past: its repository has the state for guideline 2025.11, and the present one.

The past is made of the present by edits: what 2025.11.27 brought is taken out. An edit that finds
nothing to change is an error, so that the past cannot become the present unseen.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

PROJECT = "{{cookiecutter.project_slug}}"
OLD_VERSION = "2025.11.1"
OLD_GUIDELINE = "2025.11"
NEW_FILES = (
    ".github/workflows/rollback.yml",
    "AGENTS.en.md",
    "AGENTS.ko.md",
    "GUIDELINE.en.md",
    "GUIDELINE.ko.md",
    "deploy/revert.sh",
    "tests/guideline",
)
DOCKERIGNORE = """\
.git
.github
.venv
**/.env*
**/__pycache__
**/*.py[cod]
**/.*_cache
tests/
"""
ALL_AT_ONCE = """\
      update_config:
        # Every replica at once.
        order: stop-first
        parallelism: 0
        failure_action: rollback
"""


class OlderStateError(Exception):
    """An edit does not apply: the template has changed at that place."""


@dataclass(frozen=True)
class Template:
    """The repository, with a commit and a tag for each state."""

    path: Path
    old: str
    """Commit of guideline 2025.11."""
    new: str
    """Commit of the present state."""
    new_version: str

    @property
    def old_tag(self) -> str:
        """Tag of `old`."""
        return f"v{OLD_VERSION}"

    @property
    def new_tag(self) -> str:
        """Tag of `new`."""
        return f"v{self.new_version}"


def build(folder: Path, environment: Mapping[str, str]) -> Template:
    """Make the repository.

    Args:
        folder: where it goes; it does not exist yet.
        environment: variables of the processes, with git's settings.

    Raises:
        OlderStateError: the past cannot be made of the present any more.
    """

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True, env=environment
        )
        return done.stdout.strip()

    def commit(message: str) -> str:
        git("add", "--all", "--force")
        git("commit", "--quiet", f"--message={message}")
        return git("rev-parse", "HEAD")

    folder.mkdir(parents=True)
    git("init", "--quiet", "--initial-branch=main")
    copy_present(folder)
    version = version_of(folder)
    make_old(folder)
    old = commit("feat: the template for guideline 2025.11")
    git("tag", f"v{OLD_VERSION}")
    git("rm", "--quiet", "-r", ".")
    copy_present(folder)
    new = commit("feat: the template as it is now")
    git("tag", f"v{version}")
    return Template(folder, old, new, version)


def copy_present(folder: Path) -> None:
    """Copy what git has, or would add, of the template as it is."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():  # git lists what is deleted but not committed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def version_of(folder: Path) -> str:
    """Return the template's version."""
    found = re.search(r'"_template_version": "(.+)"', (folder / "cookiecutter.json").read_text())
    if not found:
        raise OlderStateError("cookiecutter.json names no version.")
    return found[1]


def make_old(folder: Path) -> None:
    """Take out of a template what guideline 2025.11.27 has brought.

    Raises:
        OlderStateError: an edit finds nothing to change.
    """
    project = folder / PROJECT
    answers = folder / "cookiecutter.json"
    change(answers, r'("_template_version": ").+(")', rf"\g<1>{OLD_VERSION}\2")
    change(answers, r'("_guideline_version": ").+(")', rf"\g<1>{OLD_GUIDELINE}\2")
    for name in NEW_FILES:
        remove(project / name)
    hook = folder / "hooks/post_gen_project.py"
    change(hook, r' "AGENTS", "GUIDELINE",', "")
    for device in ("cpu", "gpu"):
        old_dockerfile(project / f"Dockerfile.{device}")
    gpu = project / "Dockerfile.gpu"
    change(gpu, r"nvidia/cuda:12\S+", "python:3.11-slim")
    change(gpu, r"# Ubuntu 22\.04 .*\n", "")
    (project / ".dockerignore").write_text(DOCKERIGNORE, "utf-8")
    old_ci(project)
    old_deployments(project)
    old_production(project / ".github/workflows/cd-production.yml")


def old_dockerfile(file: Path) -> None:
    """No ffmpeg, and the weights in the image."""
    change(file, r" Weights are never in it:.*", "")
    change(file, r"ffmpeg=7:\*", "libgomp1=1*")
    change(file, r" /srv/models /srv/static", " /srv/static")
    change(file, r"(COPY --chmod=755 app app\n)", r"\1COPY --chmod=755 models models\n")


def old_ci(project: Path) -> None:
    """No system packages before the tests, and no suite of the guideline."""
    ci = project / ".github/workflows/ci.yml"
    change(ci, r"      - name: Install system packages(?s:.+?)(?=      - name: )", "")
    change(ci, r"      - name: .*\n        run: make guideline\n", "")
    hooks = project / ".pre-commit-config.yaml"
    change(hooks, r"      - id: guideline\n(?s:.+?)(?=      - id: lint\n)", "")
    names = project / "deploy/project.env"
    change(names, r"# Debian packages .*\nSYSTEM_PACKAGES=.*\n", "")
    makefile = project / "Makefile"
    change(makefile, r"PROGRAMS := .*\n", "")
    change(makefile, r"system: ##(?s:.+?)\n\n", "")
    change(makefile, r"install: system ", "install: ")
    change(makefile, r"guideline:.* ##(?s:.+?)\n\n", "")
    change(makefile, r"(\.PHONY:.*) system (.*) guideline\b", r"\1 \2")


def old_deployments(project: Path) -> None:
    """No volumes, and an update of all replicas at once."""
    compose, stack = project / "compose.yaml", project / "deploy/stack.yaml"
    change(compose, r"    volumes:\n(?s:.+?)(?=    tmpfs:)", "")
    change(stack, r"      - models:.*\n      - data:.*\n      - tts:.*\n", "")
    change(stack, r"(        target: /tmp\n(?:.+\n)+?)    read_only: true\n", r"\1")
    for file in (compose, stack):
        change(file, r"\nvolumes:\n  models:\n  data:\n  tts:\n", "")
    update = (
        r"      update_config:\n        # The new replica first(?s:.+?)(?=      restart_policy:)"
    )
    change(stack, update, ALL_AT_ONCE)
    cuda = project / "deploy/stack.cuda.yaml"
    change(cuda, r"      update_config:\n(?s:.+?)(?=      resources:)", "")
    tool = project / "deploy/stack.py"
    change(tool, r"# Folders of the service .*\nPERSISTENT = .*", "PERSISTENT: dict[str, str] = {}")
    tests = project / "tests/unit/deploy/test_stack.py"
    change(tests, r"DATA = (?s:.+?)(?=def test_secrets_are_files)", "")
    change(tests, r"from typing import Any\n\nimport pytest\n\n", "")
    change(tests, r"from deploy\.errors import .*\n", "")


def old_production(workflow: Path) -> None:
    """No plan: one step deploys."""
    change(workflow, r"  plan:\n(?s:.+?)(?=  deploy:\n)", "")
    change(workflow, r"needs: \[promote, plan\]", "needs: promote")
    change(workflow, r"    # The reviewers of this environment .*\n", "")
    change(workflow, r"          PLAN: .*\n", "")
    change(workflow, r" +printf '%s' \"\$PLAN\" .*\n", "")
    change(workflow, r' --plan "\$RUNNER_TEMP/plan.json"', "")
    change(workflow, r"Deploy as planned, test", "Deploy, test")


def change(file: Path, pattern: str, replacement: str) -> None:
    """Replace what a pattern finds; it must find one place."""
    text, found = re.subn(pattern, replacement, file.read_text("utf-8"))
    if found != 1:
        raise OlderStateError(f"{file.name} has {pattern!r} {found} times, not once.")
    file.write_text(text, "utf-8")


def remove(path: Path) -> None:
    """Remove a file or a folder, which must be there."""
    if not path.exists():
        raise OlderStateError(f"There is no {path.name} to remove.")
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
