"""CI of a rendered project, run: green on a clean one, red for what it is there to stop."""

from __future__ import annotations

import os
import shutil
import time
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha512
from pathlib import Path

import pytest

from tests.conftest import Render
from tools.delivery.workflow_runner import Run, WorkflowRunner

pytestmark = pytest.mark.delivery
ANSWERS = {
    "project_slug": "light",
    "stt_engine": "faster-whisper",
    "llm_engine": "openai-compatible",
    "tts_engine": "espeak-ng",
}
# The green run has run every test; a red one runs those of a module, and of section 8.
FEW_TESTS = {"PYTEST_ADDOPTS": "--no-cov -k 'masking or S8'"}
KEY = "8f14e45fceea167a5a36dedd4bea2543"


@pytest.fixture(scope="module")
def runner(render: Render, tmp_path_factory: pytest.TempPathFactory) -> WorkflowRunner:
    """Return a runner whose runs share one environment of Python, brought up to date by each."""
    if not (shutil.which("apt-get") and (os.geteuid() == 0 or shutil.which("sudo"))):
        reason = "CI installs Debian packages: run this on Debian or Ubuntu, as root or with sudo."
        if os.environ.get("KODEX_REQUIRE_REAL"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("ci")
    # make gives a variable in MAKEFLAGS precedence over the Makefile's own.
    shared = {"MAKEFLAGS": f" -- VENV={folder / 'venv'}"}
    return WorkflowRunner(folder / "runner", render(ANSWERS), variables=shared)


@pytest.fixture
def source(runner: WorkflowRunner) -> Iterator[Path]:
    """Return the project's files, on a branch of their own."""
    runner.branch("feature/change")
    yield runner.source
    runner.branch("main", "main")


def run_ci(runner: WorkflowRunner) -> Run:
    """Commit what was changed, and run CI as its pull request does."""
    runner.commit("feat: a change")
    return runner.run(
        "ci.yml", "pull_request", "refs/heads/feature/change", job="test", environment=FEW_TESTS
    )


def test_clean_project_is_green(runner: WorkflowRunner, source: Path) -> None:
    # Given a project as it is generated, on a branch
    runner.commit("feat: nothing yet")
    # When its pull request runs CI
    run = runner.run("ci.yml", "pull_request", "refs/heads/feature/change")
    # Then every job succeeds
    assert run.status == 0, run.log[-6000:]
    assert run.jobs == {"Lint and test": "success", "Branch name": "success"}
    # And all tests ran, with their coverage gate
    assert "Required test coverage of 80.0% reached" in run.log
    assert not run.errors


def test_lint_error_is_red(runner: WorkflowRunner, source: Path) -> None:
    # Given an import that nothing uses
    file = source / "app/utils/text.py"
    file.write_text(file.read_text("utf-8") + "import os\n", "utf-8")
    # When CI runs
    run = run_ci(runner)
    # Then the linter stops it, and names file and rule
    assert run.jobs == {"Lint and test": "failure"}
    assert run.failed_steps == ["Lint with ruff"]
    assert "app/utils/text.py" in run.log
    assert "F401" in run.log


def test_failing_test_is_red(runner: WorkflowRunner, source: Path) -> None:
    # Given a test that fails
    test = "def test_masking_that_fails() -> None:\n    assert 1 + 1 == 3\n"
    (source / "tests/unit/test_sums.py").write_text(f'"""Sums."""\n\n\n{test}', "utf-8")
    # When CI runs
    run = run_ci(runner)
    # Then pytest stops it, and names the test
    assert run.jobs == {"Lint and test": "failure"}
    assert run.failed_steps == ["Test with pytest"]
    assert "tests/unit/test_sums.py::test_masking_that_fails" in run.log


def test_hard_coded_key_is_red(runner: WorkflowRunner, source: Path) -> None:
    # Given a key in the Dockerfile
    file = source / "Dockerfile"
    lines = file.read_text("utf-8").splitlines()
    place = lines.index("WORKDIR /srv") + 1
    lines.insert(place, f"ENV LLM_API_KEY={KEY}")
    file.write_text("\n".join(lines) + "\n", "utf-8")
    # When CI runs
    run = run_ci(runner)
    # Then the guideline stops it, and names clause, file and line, but does not repeat the key
    assert run.jobs == {"Lint and test": "failure"}
    assert run.failed_steps == ["Hold the project against the deployment guideline"]
    assert "S8.1 (since 2025.11.27)" in run.log
    assert f"Dockerfile:{place + 1}: " in run.log
    assert KEY not in run.log


def test_key_anywhere_else_is_red(runner: WorkflowRunner, source: Path) -> None:
    # Given a private key among the notes, where no clause looks
    body = b64encode(b"".join(sha512(bytes([n])).digest() for n in range(9))).decode()
    begin, end = (f"-----{word} RSA PRIVATE KEY-----" for word in ("BEGIN", "END"))
    (source / "notes.md").write_text(f"# Notes\n\n{begin}\n{body}\n{end}\n", "utf-8")
    # When CI runs
    run = run_ci(runner)
    # Then the scanner stops it, and names the file, but does not repeat the key
    assert run.jobs == {"Lint and test": "failure"}
    assert run.failed_steps == ["Look for hard-coded keys"]
    assert "|Path............: notes.md" in run.log
    assert "write ${NAME}" in run.log
    assert body not in run.log


def test_bad_branch_name_is_red(runner: WorkflowRunner) -> None:
    # Given a branch whose name says neither feature nor fix
    runner.branch("hotfix/voice")
    runner.commit("fix: something")
    # When its pull request runs CI
    begun = time.monotonic()
    run = runner.run("ci.yml", "pull_request", "refs/heads/hotfix/voice", job="branch-name")
    runner.branch("main", "main")
    # Then the check stops it at once, in a sentence
    assert run.jobs == {"Branch name": "failure"}
    assert run.failed_steps == ["Check the name"]
    rule = "A branch is named feature/<name>, fix/<name>, develop or main"
    assert run.errors == [f"{rule}, and this one hotfix/voice: rename it."]
    assert time.monotonic() - begun < 30
