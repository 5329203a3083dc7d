"""What counts as linting and as testing."""

import itertools
import re
import shlex
from collections import Counter
from configparser import ConfigParser
from configparser import Error as ConfigError
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from tests.guideline.pipelines import RunningJob
from tests.guideline.project import Project
from tests.guideline.shell import Command

TEST_FILE = re.compile(r"(?:.*/)?(?:test_[^/]*|[^/]*_test)\.py")
# With these, findings do not fail ruff or flake8, or nothing is looked for.
LINT_OFF = (
    "--exit-zero", "-e", "--help", "-h", "--version", "-V", "--fix-only", "--show-files",
    "--show-settings", "--add-noqa",
)  # fmt: skip
EXCLUDING = ("--exclude", "--extend-exclude")
SHIPPED = ("app", "deploy", "main.py")
# With these, pytest leaves tests out.
LEAVING_OUT = (
    "-k", "-m", "--deselect", "--ignore-glob", "--collect-only", "--co", "--lf", "--last-failed",
    "--sw", "--stepwise", "--help", "-h", "--version", "-V", "--fixtures", "--markers",
    "--setup-plan", "--setup-only", "--pyargs",
)  # fmt: skip
# Options whose value is the next word.
VALUED = {
    "-n", "--numprocesses", "--maxfail", "-o", "-c", "--config-file", "--rootdir", "-p", "-W",
    "--durations", "--junitxml", "--junit-xml", "--tb", "--timeout", "--cov-report", "--cov-config",
    "--cov", "-r", "--color", "--import-mode", "--dist", "--confcutdir", "--basetemp",
    "--log-level",
    "--cov-fail-under", "--capture", "--ignore",
}  # fmt: skip


def is_lint(command: Command) -> bool:
    """Tell whether a command lints the code."""
    if command.program == "ruff":
        plain = [word for word in command.arguments if not word.startswith("-")]
        if plain[:1] in (["format"], ["clean"], ["rule"], ["server"], ["version"], ["config"]):
            return False
    elif command.program not in {"flake8", "pflake8"}:
        return False
    return True


def lint_flaw(command: Command) -> str:
    """Return why a lint command fails nothing, empty where it does."""
    if command.has(*LINT_OFF):
        return f"{command.program} reports findings without failing"
    if command.has("--fix") and not command.has("--exit-non-zero-on-fix"):
        return f"{command.program} changes findings away without failing"
    return "" if command.fatal else f"the failure of {command.program} is ignored"


def left_out(project: Project, commands: list[Command]) -> str:
    """Return a part of the code that no command of a linter looks at, empty where all is seen."""
    files = project.python_files
    largest = Counter(file.split("/")[0] for file in files).most_common(1)
    for part in (*SHIPPED, *(name for name, _ in largest)):
        code = [file for file in files if file.split("/")[0] == part]
        if code and not any(_looks_at(project, one, file) for one in commands for file in code):
            return part
    return ""


def _looks_at(project: Project, command: Command, file: str) -> bool:
    words = command.arguments
    paths = [
        word
        for before, word in itertools.pairwise(("", *words))
        if before not in EXCLUDING and (word.endswith(".py") or (project.root / word).is_dir())
    ]
    given = [one for name in EXCLUDING for one in (command.option(name) or "").split(",") if one]
    excluded = [*given, *_excluded_by_settings(project, command.program)]
    is_named = not paths or any(_under(file, path, "") for path in paths)
    return is_named and not any(_excludes(pattern, file) for pattern in excluded)


def _excluded_by_settings(project: Project, program: str) -> list[str]:
    keys = [name.removeprefix("--") for name in EXCLUDING]
    if program != "ruff":
        options = _ini(project, "flake8", ".flake8", "setup.cfg", "tox.ini")
        return re.split(r"[,\s]+", ",".join(options.get(key, "") for key in keys))
    tables = [project.toml(name) for name in (".ruff.toml", "ruff.toml")]
    tables.append(project.toml("pyproject.toml").get("tool", {}).get("ruff", {}))
    tables += [table.get("lint", {}) for table in tables]
    return [str(one) for table in tables for key in keys for one in table.get(key, ())]


def _excludes(pattern: str, file: str) -> bool:
    """Tell whether a linter's pattern leaves out a file, or a folder that it lies in."""
    plain = pattern.removeprefix("./").rstrip("/")
    above = [PurePosixPath(file), *PurePosixPath(file).parents]
    return bool(plain) and any(
        fnmatchcase(text, plain) for one in above for text in (str(one), one.name)
    )


def lints(job: RunningJob) -> bool:
    """Tell whether a job fails on a finding of a linter."""
    return any(is_lint(one) and not lint_flaw(one) for _, one in job.commands)


def is_test(command: Command) -> bool:
    """Tell whether a command runs pytest."""
    return command.program in {"pytest", "py.test"}


def runs_pytest(job: RunningJob) -> bool:
    """Tell whether a job fails on a failure of pytest."""
    return any(
        is_test(one) and one.fatal and not one.has("--collect-only", "--co")
        for _, one in job.commands
    )


def pytest_files(project: Project) -> set[str]:
    """Return the files that hold tests."""
    return {file for file in project.files if TEST_FILE.fullmatch(file)}


def options_of_project(project: Project) -> tuple[list[str], list[str]]:
    """Return pytest's own options of the project, and the folders that it looks into."""
    tool = project.toml("pyproject.toml").get("tool", {}).get("pytest", {})
    options = dict(tool.get("ini_options", tool))
    options |= _ini(project, "pytest", "pytest.ini", "tox.ini")
    options |= _ini(project, "tool:pytest", "setup.cfg")
    return _words(options.get("addopts", "")), _words(options.get("testpaths", ""))


def _ini(project: Project, section: str, *files: str) -> dict[str, str]:
    """Return a section of the first of the files that has it."""
    for file in files:
        parser = ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(project.text(file))
        except ConfigError:
            continue
        if parser.has_section(section):
            return dict(parser[section])
    return {}


def _words(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else shlex.split(str(value))


def files_run(project: Project, command: Command, folder: str, env: dict[str, str]) -> set[str]:
    """Return the test files that a pytest command runs whole."""
    own, testpaths = options_of_project(project)
    more = (
        shlex.split(env.get("PYTEST_ADDOPTS", ""))
        if "'" not in env.get("PYTEST_ADDOPTS", "")
        else []
    )
    words = [*own, *more, *command.arguments]
    every = pytest_files(project)
    whole = Command(("pytest", *words), 1)
    if whole.has(*LEAVING_OUT):
        return set()
    paths, ignored, waiting = [], [], list(words)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.partition("=")
        if name == "--ignore":
            ignored.append(value if equals else (waiting.pop(0) if waiting else ""))
        elif word in VALUED:
            waiting = waiting[_takes_next(word, waiting) :]
        elif not word.startswith("-"):
            paths.append(word)
    if any("::" in path for path in paths):
        return set()
    if any("${{" in path or "$" in path for path in paths):
        paths = []
    wanted = paths or testpaths or ["."]
    found = {file for file in every if any(_under(file, path, folder) for path in wanted)}
    return {file for file in found if not any(_under(file, path, folder) for path in ignored)}


def _takes_next(option: str, words: list[str]) -> bool:
    """Tell whether an option's value is the next word: ``--cov`` needs none."""
    following = words[0] if words else "-"
    return not following.startswith("-") and not (
        option == "--cov" and following.split("/")[0] == "tests"
    )


def _under(file: str, path: str, folder: str) -> bool:
    place = PurePosixPath(folder or ".") / path.rstrip("/")
    return PurePosixPath(file).is_relative_to(place) or str(place) in {".", ""}
