"""Section 3: continuous integration, wherever its steps stand."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.guideline.ci import (
    files_run,
    is_lint,
    is_test,
    left_out,
    lint_flaw,
    lints,
    pytest_files,
    runs_pytest,
)
from tests.guideline.clauses import guards
from tests.guideline.findings import Finding
from tests.guideline.images import installed_by
from tests.guideline.pipelines import Run, RunningJob
from tests.guideline.project import Project
from tests.guideline.shell import Command

CI = ".github/workflows/ci.yml"
EVENTS = {"push": "a push to main", "pull_request": "a pull request to main"}
SUITE = Path(__file__).resolve().parent
CODE = re.compile(r"(?!docs/).*\.py|requirements[^/]*\.txt|pyproject\.toml|Dockerfile")


def home(runs: list[Run]) -> tuple[str, int]:
    """Return where CI is, as well as that can be told."""
    return (runs[0].workflow.file, 1) if runs else (CI, 1)


def with_jobs(runs: list[Run]) -> list[tuple[Run, RunningJob]]:
    """Return the jobs of runs, each with its run."""
    return [(run, job) for run in runs for job in run.jobs.values()]


@guards("S3.1")
def test_ci_runs_on_pushes_and_pull_requests(project: Project) -> Iterator[Finding]:
    # Given the files whose change must be checked
    code = [file for file in project.files if CODE.fullmatch(file)]
    for name, what in EVENTS.items():
        # When one of them is changed by a push or a pull request
        runs = [
            run
            for run in project.pipelines.on(name)
            if any(lints(job) or runs_pytest(job) for job in run.jobs.values())
        ]
        missed = [
            (run, next((one for one in code if run.workflow.misses(run.event, one)), ""))
            for run in runs
        ]
        # Then a workflow that lints or tests begins
        if not runs:
            yield Finding(
                CI,
                1,
                f"no workflow lints or tests on {what}.",
                f"add {name} with branches: [main] to `on`.",
            )
        elif all(file for _, file in missed):
            run, file = missed[0]
            yield Finding(
                run.workflow.file,
                run.event.line,
                f"{what} that changes {file} alone is not checked.",
                f"take the filter of paths or types away from {name}.",
            )


@guards("S3.2")
def test_ci_installs_system_packages_before_the_tests(project: Project) -> Iterator[Finding]:
    # Given the jobs that test a pull request
    for _, job in with_jobs(project.pipelines.on("pull_request")):
        installed = False
        # When their commands are read in order
        for step, command in job.commands:
            installed |= "ffmpeg" in installed_by(command) and command.fatal
            # Then none of them tests before ffmpeg is installed
            if is_test(command) and not installed and not _brings_ffmpeg(job):
                yield Finding(
                    step.step.file,
                    step.step.line,
                    "the tests run without ffmpeg being installed.",
                    "run sudo apt-get install -y ffmpeg in a step before this one.",
                )
                break


def _brings_ffmpeg(job: RunningJob) -> bool:
    return any("ffmpeg" in step.step.uses.lower() for step in job.steps)


@guards("S3.3")
def test_ci_lints(project: Project) -> Iterator[Finding]:
    # Given what runs on a pull request
    runs = project.pipelines.on("pull_request")
    # When its commands are searched for a linter
    found = [
        (step, one) for _, job in with_jobs(runs) for step, one in job.commands if is_lint(one)
    ]
    flaws = [(step, one, lint_flaw(one)) for step, one in found]
    # Then there is one, and it fails on a finding
    if not found:
        yield Finding(
            *home(runs), "nothing lints on a pull request.", "run ruff check . (or flake8) in CI."
        )
    elif all(flaw for _, _, flaw in flaws):
        for step, command, flaw in flaws:
            place = (
                (command.file, command.line) if command.file else (step.step.file, step.step.line)
            )
            yield Finding(*place, f"{flaw}.", "let a finding fail the step and the job.")
    elif part := left_out(project, [one for _, one, flaw in flaws if not flaw]):
        yield Finding(
            found[0][1].file or CI,
            found[0][1].line,
            f"no linter looks at {part}.",
            "take it out of the linter's exclude, and lint the whole project.",
        )


def runs_of_pytest(project: Project, runs: list[Run]) -> Iterator[tuple[Command, set[str]]]:
    """Yield the pytest commands of runs, each with the files of tests that it runs."""
    for _, job in with_jobs(runs):
        for step, command in job.commands:
            if is_test(command):
                env = {**step.env, **command.env}
                yield command, files_run(project, command, step.step.folder, env)


@guards("S3.4")
def test_ci_runs_all_tests(project: Project) -> Iterator[Finding]:
    # Given the files of tests, and the pytest commands of a pull request
    runs = project.pipelines.on("pull_request")
    missing = pytest_files(project)
    suite = {file for file in missing if (project.root / file).parent == SUITE}
    ran = list(runs_of_pytest(project, runs))
    # When those whose failure fails CI are taken together
    missing -= {file for command, files in ran if command.fatal for file in files}
    # Then they run every file; what runs this suite alone is not the place where others are missing
    found = [command for command, files in ran if not files or files - suite]
    ignored = [command for command in found if not command.fatal]
    if not ran or (missing and not found):
        yield Finding(*home(runs), "nothing runs pytest on a pull request.", "run pytest in CI.")
    elif missing and ignored:
        for command in ignored:
            yield Finding(
                command.file,
                command.line,
                "a failing test does not fail CI.",
                "let pytest's failure fail the step and the job.",
            )
    elif missing:
        yield Finding(
            found[-1].file,
            found[-1].line,
            f"CI leaves tests out, those of {min(missing)} among them.",
            "run pytest without options that select tests, on the whole folder of tests.",
        )
