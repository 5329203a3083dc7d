"""Section 3: continuous integration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.guideline.mutants.edits import (
    Edit,
    after,
    before,
    create,
    cut,
    edits,
    into,
    move,
    read,
    rename,
    save,
    swap,
    swap_block,
)
from tests.guideline.mutants.model import Mutant
from tests.guideline.mutants.s2_branches import change_rule

CI = ".github/workflows/ci.yml"
CHECKS = ".github/workflows/checks.yml"
STAGING = ".github/workflows/cd-staging.yml"
TRIGGERS = "on:"
RULESET = ".github/rulesets/main.json"
SYSTEM = "- name: Install system packages (audio, AI)"
INSTALL = "- name: Install dependencies"
LINT = "- name: Lint with ruff"
TEST = "- name: Test with pytest"
UPLOAD = "actions/upload-artifact@v7"

SYSTEM_ACTION = """\
name: System packages
description: Installs what the tests need.
runs:
  using: composite
  steps:
    - name: Install
      shell: bash
      run: |
        sudo apt-get update -qq
        sudo apt-get install -y -qq --no-install-recommends \\
          build-essential \\
          ffmpeg
"""
PREPARE_JOB = """\
prepare:
  name: Prepare
  runs-on: ubuntu-latest
  steps:
    - run: sudo apt-get update && sudo apt-get install -y ffmpeg
"""
CALLED = """\
name: Checks
on:
  workflow_call:
permissions:
  contents: read
defaults:
  run:
    shell: bash
jobs:
  checks:
    name: Checks
    runs-on: ubuntu-latest
"""
LINT_JOB = """\
lint:
  name: Lint
  runs-on: ubuntu-latest
  steps:
    - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1
    - run: pip install ruff
    - run: ruff check .
"""

# What else may be said of a CI that does not run, and of a check that cannot fail.
IDLE = frozenset({"S2.1", "S2.2", "S3.1", "S3.2", "S3.3", "S3.4"})
TOOTHLESS = frozenset({"S2.1"})


def triggers(text: str) -> Edit:
    """Let CI run on other events."""
    return swap_block(CI, TRIGGERS, text)


def lint_step(text: str) -> Edit:
    """Lint in another way."""
    return swap_block(CI, LINT, text)


def test_step(text: str) -> Edit:
    """Test in another way."""
    return swap_block(CI, TEST, text)


def ruff_recipe(line: str) -> Edit:
    """Lint by another line of the Makefile."""
    return swap("Makefile", "\t$(BIN)/ruff check .\n", f"\t{line}\n")


def pytest_recipe(line: str) -> Edit:
    """Test by another line of the Makefile."""
    return swap("Makefile", "\t$(BIN)/pytest --cov\n", f"\t{line}\n")


def lint_and_test_apart(parameters: Any) -> None:
    """Ask for two checks in the place of one."""
    rest = [one for one in parameters["required_status_checks"] if one["context"] == "Branch name"]
    parameters["required_status_checks"] = [{"context": "Lint"}, {"context": "Test"}, *rest]


def called(project: Path) -> None:
    """Move the job of the tests into a workflow that CI calls."""
    text = read(project, CI)
    head, _, rest = text.partition("  test:\n")
    job, _, tail = rest.partition("\n  branch-name:\n")
    steps = job[job.index("    steps:\n") :]
    call = (
        "    name: Lint and test\n    permissions:\n      contents: read\n"
        "    uses: ./.github/workflows/checks.yml\n"
    )
    save(project, CI, f"{head}  test:\n{call}\n  branch-name:\n{tail}")
    save(project, CHECKS, f"{CALLED}{steps}")
    swap(RULESET, '"Lint and test"', '"Lint and test / Checks"')(project)


MUTANTS = (
    Mutant(
        "push-only",
        "S3.1",
        "CI runs on pushes alone, as a list",
        triggers("on: [push, workflow_call]"),
        "CI runs on every push and every pull request, as a list",
        triggers("on: [push, pull_request, workflow_call]"),
        also=IDLE,
    ),
    Mutant(
        "another-target",
        "S3.1",
        "CI runs on pull requests to develop alone",
        triggers(
            "on:\n  push:\n    branches: [main]\n  pull_request:\n    branches: [develop]\n"
            "  workflow_call:\n"
        ),
        "CI runs on pull requests to develop as well, in flow style with quotes",
        triggers(
            '"on": {push: {branches: ["main"]}, '
            '"pull_request": {branches: [main, develop]}, workflow_call: {}}'
        ),
        also=IDLE,
    ),
    Mutant(
        "every-path-ignored",
        "S3.1",
        "a change of any path is ignored",
        into(CI, "pull_request:", "paths-ignore: ['**']"),
        "a change of the folder docs is ignored",
        into(CI, "pull_request:", "paths-ignore: ['docs/**']"),
        also=IDLE,
    ),
    Mutant(
        "some-paths",
        "S3.1",
        "only changes of app and tests are looked at",
        into(CI, "pull_request:", "paths:\n  - app/**\n  - tests/**"),
        "changes of all paths are looked at, in so many words",
        into(CI, "pull_request:", "paths:\n  - '**'"),
        also=IDLE,
    ),
    Mutant(
        "after-the-merge",
        "S3.1",
        "CI runs when a pull request is closed",
        into(CI, "pull_request:", "types: [closed]"),
        "CI runs when a pull request is made ready, too",
        into(CI, "pull_request:", "types: [opened, synchronize, reopened, ready_for_review]"),
        also=IDLE,
    ),
    Mutant(
        "moved-away",
        "S3.1",
        "the workflow is out of the folder that GitHub reads",
        edits(
            rename(CI, ".github/workflows/old/ci.yml"),
            cut(STAGING, "ci:"),
            swap(STAGING, "    needs: ci\n", ""),
        ),
        "the workflow has another name",
        edits(
            rename(CI, ".github/workflows/quality.yaml"),
            swap(STAGING, "workflows/ci.yml", "workflows/quality.yaml"),
        ),
        also=IDLE,
    ),
    Mutant(
        "no-step",
        "S3.2",
        "no step installs the system packages",
        cut(CI, SYSTEM),
        "an action of the project installs the system packages",
        edits(
            create(".github/actions/system-packages/action.yaml", SYSTEM_ACTION),
            swap_block(CI, SYSTEM, "- uses: ./.github/actions/system-packages"),
        ),
    ),
    Mutant(
        "not-among-them",
        "S3.2",
        "ffmpeg is not among the packages that the step reads from a file",
        swap("deploy/project.env", 'SYSTEM_PACKAGES="ffmpeg"', 'SYSTEM_PACKAGES="libsndfile1"'),
        "one more package is read from the file",
        swap("deploy/project.env", '="ffmpeg"', '="libsndfile1 ffmpeg"'),
        seen_in=frozenset({CI}),
    ),
    Mutant(
        "after-the-tests",
        "S3.2",
        "the packages are installed when the tests have run",
        edits(move(CI, INSTALL, before_head=SYSTEM), move(CI, TEST, before_head=SYSTEM)),
        "the packages are installed before Python",
        move(CI, SYSTEM, before_head="- name: Set up Python"),
    ),
    Mutant(
        "in-another-job",
        "S3.2",
        "another job installs the packages, on a machine of its own",
        edits(
            cut(CI, SYSTEM),
            into(CI, "jobs:", PREPARE_JOB),
            before(CI, "timeout-minutes: 30", "needs: prepare"),
        ),
        "another job lints, which needs no packages",
        edits(
            into(CI, "jobs:", LINT_JOB),
            swap(CI, "name: Lint and test", 'name: "Lint and test"'),
        ),
    ),
    Mutant(
        "commented-out",
        "S3.2",
        "the line that installs is a comment",
        swap(CI, "          sudo apt-get install", "          # sudo apt-get install"),
        "a comment tells what not to do",
        before(CI, SYSTEM, "# Never: sudo apt-get remove ffmpeg, nor apt-get install || true"),
    ),
    Mutant(
        "no-step",
        "S3.3",
        "nothing lints",
        cut(CI, LINT),
        "flake8 lints",
        lint_step(
            "- name: Lint\n  run: |\n    python -m pip install flake8\n"
            "    python -m flake8 --max-line-length=100 app deploy tests main.py"
        ),
        also=TOOTHLESS,
    ),
    Mutant(
        "or-true",
        "S3.3",
        "a finding is passed over by || true",
        swap(CI, "run: make lint", "run: make lint || true"),
        "a comment forbids || true",
        swap(
            CI,
            "run: make lint",
            "run: |\n          # never write || true here\n          make lint",
        ),
        also=TOOTHLESS,
    ),
    Mutant(
        "continue-on-error",
        "S3.3",
        "the step may fail",
        after(CI, LINT, "  continue-on-error: true"),
        "a further step, which uploads a report, may fail",
        after(
            CI,
            TEST,
            f"- name: Upload the report\n  if: always()\n  continue-on-error: true\n"
            f"  uses: {UPLOAD}\n  with:\n    name: coverage\n    path: .coverage",
        ),
        also=TOOTHLESS,
    ),
    Mutant(
        "make-ignores-it",
        "S3.3",
        "make passes over ruff's exit status",
        ruff_recipe("-@$(BIN)/ruff check ."),
        "make does not show the command",
        ruff_recipe("@$(BIN)/ruff check ."),
        also=TOOTHLESS,
    ),
    Mutant(
        "exit-zero",
        "S3.3",
        "ruff always exits with zero",
        ruff_recipe("$(BIN)/ruff check --exit-zero ."),
        "ruff writes its findings for GitHub",
        ruff_recipe("$(BIN)/python -m ruff check --output-format=github ."),
        also=TOOTHLESS,
    ),
    Mutant(
        "lost-in-a-pipe",
        "S3.3",
        "the exit status is lost in a pipe of a shell without pipefail",
        lint_step("- name: Lint\n  shell: sh\n  run: make lint | tee lint.txt"),
        "the exit status comes through a pipe of a shell with pipefail",
        lint_step("- name: Lint\n  shell: bash\n  run: make lint | tee lint.txt"),
        also=TOOTHLESS,
    ),
    Mutant(
        "nothing-to-lint",
        "S3.3",
        "ruff leaves out the code",
        swap(
            "ruff.toml",
            "line-length = 100\n",
            'line-length = 100\nextend-exclude = ["app", "deploy", "main.py", "tests"]\n',
        ),
        "ruff leaves out notebooks",
        swap(
            "ruff.toml",
            "line-length = 100\n",
            'line-length = 100\nextend-exclude = ["notebooks"]\n',
        ),
        also=TOOTHLESS,
        seen_in=frozenset({"Makefile"}),
    ),
    Mutant(
        "switched-off",
        "S3.3",
        "the step never runs",
        into(CI, LINT, "if: ${{ github.event_name == 'never' }}"),
        "the step runs even when one before it has failed",
        into(CI, LINT, "if: ${{ !cancelled() }}"),
        also=TOOTHLESS,
    ),
    Mutant(
        "no-step",
        "S3.4",
        "nothing tests",
        cut(CI, TEST),
        "the tests have a job of their own",
        edits(
            cut(CI, LINT),
            into(CI, "jobs:", LINT_JOB),
            swap(CI, "name: Lint and test", "name: Test"),
            change_rule("required_status_checks", lint_and_test_apart),
        ),
        also=TOOTHLESS,
    ),
    Mutant(
        "or-colon",
        "S3.4",
        "a failure is passed over by || :",
        test_step("- name: Test\n  run: |\n    make test ||\n      :"),
        "a failure is explained, and fails",
        test_step(
            '- name: Test\n  run: |\n    make test || {\n      echo "See above."\n'
            "      exit 1\n    }"
        ),
        also=TOOTHLESS,
    ),
    Mutant(
        "unit-tests-only",
        "S3.4",
        "only the unit tests run",
        pytest_recipe("$(BIN)/pytest --cov tests/unit"),
        "the tests run from their folder",
        pytest_recipe("$(BIN)/python -m pytest --cov -x --durations=5 tests"),
        also=TOOTHLESS,
    ),
    Mutant(
        "left-out-by-an-option",
        "S3.4",
        "an option of pytest leaves out a layer",
        pytest_recipe("$(BIN)/pytest --cov --ignore=tests/e2e"),
        "an option of pytest leaves out the suite that has a step of its own",
        pytest_recipe("$(BIN)/pytest --cov --ignore=tests/guideline"),
        also=TOOTHLESS,
    ),
    Mutant(
        "left-out-by-a-setting",
        "S3.4",
        "a setting of pytest leaves out two layers",
        swap(
            "pyproject.toml",
            '--import-mode=importlib"',
            '--import-mode=importlib --ignore=tests/integration --ignore=tests/e2e"',
        ),
        "a setting of pytest shows the slowest tests",
        swap(
            "pyproject.toml", '--import-mode=importlib"', '--import-mode=importlib --durations=5"'
        ),
        also=TOOTHLESS,
        seen_in=frozenset({"Makefile"}),
    ),
    Mutant(
        "by-name",
        "S3.4",
        "only tests with a certain name run",
        test_step(
            "- name: Test\n  run: |\n    .venv/bin/python -m pytest --cov \\\n      -k smoke"
        ),
        "the tests run without make, and write a report",
        test_step(
            "- name: Test\n  run: |\n    .venv/bin/python -m pytest --cov \\\n"
            "      --junitxml=report.xml"
        ),
        also=TOOTHLESS,
    ),
    Mutant(
        "make-goes-on",
        "S3.4",
        "a recipe ends in true, and its shell does not stop before",
        pytest_recipe("$(BIN)/pytest --cov; true"),
        "a script ends in echo, and its shell stops before",
        test_step('- name: Test\n  run: |\n    make test\n    echo "all tests have passed"'),
        also=TOOTHLESS,
    ),
    Mutant(
        "on-pushes-only",
        "S3.4",
        "the tests run on pushes alone",
        into(CI, TEST, "if: ${{ github.event_name == 'push' }}"),
        "the tests have a time limit",
        into(CI, TEST, "timeout-minutes: 20"),
        also=TOOTHLESS,
    ),
    Mutant(
        "left-out-by-a-variable",
        "S3.4",
        "a variable of the job leaves out two layers",
        after(
            CI,
            "timeout-minutes: 30",
            "env:\n  PYTEST_ADDOPTS: --deselect tests/integration --deselect tests/e2e",
        ),
        "a variable of the job asks for colours",
        after(CI, "timeout-minutes: 30", "env:\n  PYTEST_ADDOPTS: --color=yes"),
        also=TOOTHLESS,
        seen_in=frozenset({"Makefile"}),
    ),
    Mutant(
        "a-warning",
        "S3.4",
        "a failure is a warning",
        test_step(
            "- name: Test\n  run: |\n    if ! make test; then\n"
            '      echo "::warning::Some tests fail."\n    fi'
        ),
        "a failure is an error with a text",
        test_step(
            "- name: Test\n  run: |\n    if ! make test; then\n"
            '      echo "::error::Some tests fail."\n      exit 1\n    fi'
        ),
        also=TOOTHLESS,
    ),
    Mutant(
        "in-a-called-workflow",
        "S3.4",
        "a workflow that CI calls passes over failures",
        edits(
            called, swap(CHECKS, "run: make test", "run: make --keep-going --ignore-errors test")
        ),
        "a workflow that CI calls lints and tests",
        called,
        also=TOOTHLESS,
    ),
    Mutant(
        "job-may-fail",
        "S3.4",
        "the whole job may fail",
        before(CI, "timeout-minutes: 30", "continue-on-error: true"),
        "a further job, an experiment with a newer Python, may fail",
        into(
            CI,
            "jobs:",
            "newer-python:\n  runs-on: ubuntu-latest\n  continue-on-error: true\n  steps:\n"
            "    - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1\n"
            "    - run: python3.14 -m compileall app",
        ),
        also=IDLE,
    ),
)
