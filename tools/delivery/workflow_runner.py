"""Runs the GitHub workflows of a project on this machine, with nektos/act.

A runner has a repository of its own: what it runs is what was committed and pushed, fetched as
actions/checkout does. Published actions are replaced by the stand-ins in ``actions``, which its
README lists. Of GitHub itself this is missing, and tests look at the files for it: triggers and
their filters, permissions, concurrency, environments with their reviewers.

Three things of GitHub act 0.2.89 cannot read. They are changed in the copy that act reads:
``uses: $/`` becomes ``uses: ./``, and ``deployment: false`` and ``queue: max``, which have no
meaning without environments and concurrency, are left out.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.delivery.signing import signing
from tools.environments import CACHE, ROOT

ACTIONS = Path(__file__).with_name("actions")
USES = re.compile(r"^\s*(?:- )?uses: *([\w.-]+/[\w.-]+)@(\S+)", re.MULTILINE)
SIGNER = "sigstore/cosign-installer@"
ACT_CANNOT_READ = ((r"(uses: *)\$/", r"\1./"), (r"\n *(?:deployment: false|queue: max)\b.*", ""))
TERMINAL = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\(B)")
# What this process itself runs in is no business of the jobs.
NOT_PASSED_ON = re.compile(
    r"GITHUB_|RUNNER_|ACTIONS_|INPUT_|STAND_IN_|DOCKER_|SSH_|GIT_(DIR|INDEX|WORK)|MAKE|MFLAGS"
    r"|PYTEST|PYTHON|COV_|VIRTUAL_ENV"
)
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MINUTE = 60.0


class WorkflowError(Exception):
    """A workflow could not be run at all; the text says why."""


@dataclass(frozen=True)
class Run:
    """What a run of a workflow has left."""

    status: int
    """Exit status: 0 when every job that ran succeeded."""
    log: str
    """What the jobs wrote, with secrets masked as act masks them."""
    jobs: dict[str, str]
    """Job's name -> ``success`` or ``failure``. A job that did not run is not here."""
    failed_steps: list[str]
    """Names of the steps that failed."""
    errors: list[str]
    """Texts of the error annotations (``::error::``)."""
    summary: str
    """What the steps wrote into the summary of the run."""
    outputs: dict[str, str]
    """Outputs of all steps, by name."""


@dataclass
class WorkflowRunner:
    """Runs the workflows of a copy of a project.

    Args:
        folder: where the copy and all that runs leave goes.
        project: what is copied: everything that its ``.gitignore`` does not leave out.
        repository: ``owner/name`` on GitHub.
        build_options: more options of `docker build`: a base image, a folder of wheels.
        advisories: another list of advisories for the scan of the image.
    """

    folder: Path
    project: Path
    repository: str = "my-org/service"
    build_options: str = ""
    advisories: Path | None = None
    variables: dict[str, str] = field(default_factory=dict)
    """Variables of the process for every run."""

    def __post_init__(self) -> None:
        self.source = self.folder / "source"
        self.origin = self.folder / "origin.git"
        if self.source.exists():
            raise WorkflowError(f"{self.folder} has the copy of a project already.")
        self.folder.mkdir(parents=True, exist_ok=True)
        ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".cache")
        shutil.copytree(self.project, self.source, ignore=ignored)
        self._git("init", "--quiet", "--initial-branch=main")
        self._git("init", "--quiet", "--bare", "--initial-branch=main", str(self.origin))
        self._git("-C", str(self.origin), "config", "uploadpack.allowAnySHA1InWant", "true")
        self._git("remote", "add", "origin", str(self.origin))
        self.commit("feat: the project as it is generated")

    def commit(self, message: str) -> str:
        """Commit every change in ``source``, push the branch; return the commit."""
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", f"--message={message}")
        self._git("push", "--quiet", "--force", "origin", "HEAD")
        return self._git("rev-parse", "HEAD")

    def tag(self, name: str, commit: str = "HEAD") -> None:
        """Give a commit a tag, and push it."""
        self._git("tag", "--annotate", f"--message={name}", name, commit)
        self._git("push", "--quiet", "origin", name)

    def branch(self, name: str, start: str = "main") -> None:
        """Change ``source`` to a new branch."""
        self._git("checkout", "--quiet", "-B", name, start)

    def run(
        self,
        workflow: str,
        event: str = "push",
        ref: str = "refs/heads/main",
        *,
        inputs: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        job: str | None = None,
        actor: str = "octocat",
        seconds: float = 30 * MINUTE,
    ) -> Run:
        """Run a workflow file and return what came of it.

        Args:
            workflow: its name in ``.github/workflows``.
            event: ``push``, ``pull_request`` or ``workflow_dispatch``.
            ref: of a push or a dispatch the branch or tag; of a pull request its head branch.
            inputs: of a dispatch.
            secrets: those of the repository and of the environments, together.
            variables: its variables (``vars``).
            environment: more variables of the runner's process.
            job: this job alone, with those that it needs.
            actor: who started it.
            seconds: when it is stopped.

        Raises:
            WorkflowError: an action has no stand-in, or act does not begin, or does not end.
        """
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="run-") as name:
            machine = Path(name)
            home = machine / "home"
            home.mkdir()
            tree = self._tree(machine / "tree", ref)
            payload = _payload(event, ref, inputs or {})
            files = {
                "--eventpath": _write(machine / "event.json", payload),
                "--secret-file": _write(machine / "secrets.yaml", _token() | dict(secrets or {})),
                "--var-file": _write(machine / "vars.yaml", dict(variables or {})),
                "--action-cache-path": machine / "act",
                "--cache-server-path": machine / "cache",
            }
            command = [
                *(str(_script("act")), event, "--json", "--no-skip-checkout", "--no-cache-server"),
                *("--concurrent-jobs=1", "--pull=false", "--platform=ubuntu-latest=-self-hosted"),
                *(f"--workflows=.github/workflows/{workflow}", f"--actor={actor}"),
                *(f"{option}={value}" for option, value in files.items()),
                *(f"--local-repository={pair}" for pair in _stand_ins(tree)),
                *((f"--job={job}",) if job else ()),
            ]
            own = {
                "HOME": str(home),
                "PATH": f"{self._programs(machine / 'bin')}:{SYSTEM_PATH}",
                "PAGER": "cat",
                "PIP_CACHE_DIR": str(CACHE / "pip"),
                "PIP_PROGRESS_BAR": "off",
                "STAND_IN_HOME": str(home),
                "STAND_IN_ORIGIN": str(self.origin),
                "STAND_IN_WORKFLOW": workflow,
                "STAND_IN_ROOT": str(ROOT),
                "STAND_IN_PYTHON": sys.executable,
                "STAND_IN_PYTHONS": str(Path(sys.base_prefix, "bin")),
                "STAND_IN_BUILD_OPTIONS": self.build_options,
                "STAND_IN_ADVISORIES": str(self.advisories or ""),
                **self.variables,
                **(environment or {}),
            }
            if SIGNER in (tree / ".github/workflows" / workflow).read_text("utf-8"):
                own |= signing(self.folder / "cosign")
            inherited = {k: v for k, v in os.environ.items() if not NOT_PASSED_ON.match(k)}
            return _read(*_execute(command, tree, inherited | own, seconds))

    def _tree(self, tree: Path, ref: str) -> Path:
        """Make what act reads: the files of a ref, and their commit."""
        start = ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
        self._git("clone", "--quiet", f"--branch={start}", str(self.origin), str(tree))
        url = f"https://github.com/{self.repository}.git"
        self._git("-C", str(tree), "remote", "set-url", "origin", url)
        for file in (tree / ".github").rglob("*.yml"):
            text = file.read_text("utf-8")
            for pattern, replacement in ACT_CANNOT_READ:
                text = re.sub(pattern, replacement, text)
            file.write_text(text, "utf-8")
        return tree

    def _programs(self, folder: Path) -> Path:
        """Make a folder of the programs that GitHub's machines have and this one may lack."""
        folder.mkdir()
        (folder / "python3").symlink_to(Path(sys.base_prefix, "bin", "python3"))
        if shutil.which("sudo", path=SYSTEM_PATH) is None:
            (folder / "sudo").write_text('#!/bin/sh\nexec "$@"\n', "utf-8")
            (folder / "sudo").chmod(0o755)
        return folder

    def _git(self, *arguments: str) -> str:
        return git(self.source, *arguments)


def git(folder: Path, *arguments: str) -> str:
    """Run git without this machine's settings; return what it prints.

    Raises:
        WorkflowError: it has failed.
    """
    author = ("-c", "user.name=Developer", "-c", "user.email=developer@example.com")
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", *author, *arguments],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **alone},
    )
    if done.returncode != 0:
        raise WorkflowError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def _script(name: str) -> Path:
    """Return a program of this environment."""
    return Path(sysconfig.get_path("scripts"), name)


def _actions(tree: Path) -> Iterable[tuple[str, str]]:
    """Return the published actions that a project uses, with their refs."""
    files = sorted((tree / ".github").rglob("*.yml"))
    return sorted({use for file in files for use in USES.findall(file.read_text("utf-8"))})


def _stand_ins(tree: Path) -> Iterable[str]:
    """Return ``owner/name@ref=folder`` for every published action."""
    for name, ref in _actions(tree):
        folder = ACTIONS / name.partition("/")[2]
        if not folder.is_dir():
            raise WorkflowError(f"{name} has no stand-in in {ACTIONS}.")
        yield f"{name}@{ref}={folder}"


def _payload(event: str, ref: str, inputs: Mapping[str, str]) -> dict[str, Any]:
    """Return what GitHub says of an event."""
    if event != "pull_request":
        return {"ref": ref, "inputs": dict(inputs)}
    head = {"ref": ref.removeprefix("refs/heads/")}
    request = {"number": 1, "head": head, "base": {"ref": "main"}}
    return {"number": 1, "pull_request": request}


def _token() -> dict[str, str]:
    """Return GitHub's own token, which opens nothing here."""
    return {"GITHUB_TOKEN": "token-that-opens-nothing"}


def _write(file: Path, content: Any) -> Path:
    """Write a JSON file, which is YAML too, for its owner alone."""
    file.touch(mode=0o600)
    file.write_text(json.dumps(content), "utf-8")
    return file


def _execute(
    command: list[str], tree: Path, variables: Mapping[str, str], seconds: float
) -> tuple[int, str, str]:
    """Run act; return its exit status and what it wrote."""
    with subprocess.Popen(
        command,
        cwd=tree,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise WorkflowError(f"The workflow did not end in {seconds:g} s.") from error
            raise
    return process.returncode, output, errors


def _read(status: int, output: str, errors: str) -> Run:
    """Make a `Run` of act's lines, one JSON object each.

    Raises:
        WorkflowError: no job has begun.
    """
    lines = [json.loads(line) for line in (output + errors).splitlines() if line.startswith("{")]
    if not any("job" in line for line in lines):
        raise WorkflowError(f"act has run nothing: {errors.strip() or output.strip()}")
    spoken = [
        f"[{_name(line)}] {line['msg'].rstrip()}"
        for line in lines
        if line.get("raw_output") or line.get("command") or "stepResult" in line
    ]
    return Run(
        status=status,
        log=TERMINAL.sub("", "\n".join(spoken)),
        jobs={_name(line): line["jobResult"] for line in lines if "jobResult" in line},
        failed_steps=_failed_steps(lines),
        errors=[line["arg"] for line in lines if line.get("command") == "error"],
        summary="".join(line["content"] for line in lines if line.get("command") == "summary"),
        outputs={
            line["name"]: line["arg"] for line in lines if line.get("command") == "set-output"
        },
    )


def _failed_steps(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    failed = (line["step"] for line in lines if line.get("stepResult") == "failure")
    return list(dict.fromkeys(failed))


def _name(line: Mapping[str, Any]) -> str:
    """Return the name of a line's job, without those of its workflows."""
    return str(line.get("job", "act")).rpartition("/")[2].strip()
