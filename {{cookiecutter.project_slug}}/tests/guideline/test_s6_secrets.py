"""Section 6: secrets, in code, on one machine, in workflows and on servers."""

import re
from collections.abc import Iterator
from typing import Any

from tests.guideline import ignores, secret_places
from tests.guideline.clauses import guards
from tests.guideline.findings import Finding
from tests.guideline.project import ENVIRONMENT, WORKFLOW, Project, in_tests
from tests.guideline.secret_text import is_secret_name, is_value
from tests.guideline.yaml_text import Map, Seq, Text, scalars

EXAMPLES = re.compile(r"(?:.*/)?\.env\.(?:example|sample|template|dist)")
OWN_ENV = re.compile(r"(?:.*/)?\.env(?:\.[\w-]+)*")
ACTION = re.compile(r"\.github/actions/.*\.ya?ml")
PROBES = (".env", ".env.local", ".env.production")
LITERAL = re.compile(r"(?:\|\||&&)\s*'(?P<value>[^']+)'")
OPEN = re.compile(r"\$\{\{[^}]*\bvars\.(?P<name>[A-Za-z_]\w*)")


@guards("S6.1")
def test_code_holds_no_secret(project: Project) -> Iterator[Finding]:
    # Given the programs, without the tests, whose keys open nothing
    for file in project.files:
        if secret_places.is_program(file) or file in project.scripts:
            # When their constants are looked at, Then none is a secret
            for line, name in secret_places.secrets_in(project, file):
                yield Finding(
                    file,
                    line,
                    f"{name} is a secret as text.",
                    "read it from a setting or the environment.",
                )


@guards("S6.2")
def test_env_file_stays_on_its_machine(project: Project) -> Iterator[Finding]:
    # Given what git tracks and ignores
    ignored = ignores.git_ignores(project.root, *PROBES)
    # When .env and its like are looked for, Then they are ignored, and none is tracked
    if ".env" not in ignored:
        line = project.line_of(".gitignore", r"!.*\.env\s*$")
        yield Finding(
            ".gitignore", line, "git does not ignore .env.", "add a line .env at the end."
        )
    for file in project.tracked or {}:
        if OWN_ENV.fullmatch(file) and not EXAMPLES.fullmatch(file) and not in_tests(file):
            yield Finding(
                file, 1, "git tracks this file.", f"git rm --cached {file}, and change its keys."
            )
    # and the example holds placeholders
    for file in project.matching(EXAMPLES):
        for line, name in secret_places.in_env_file(project.text(file)):
            yield Finding(file, line, f"{name} has a value.", "write change-me, or nothing.")


@guards("S6.3")
def test_workflows_get_secrets_from_github(project: Project) -> Iterator[Finding]:
    # Given the workflows and actions
    for file in [*project.matching(WORKFLOW), *project.matching(ACTION)]:
        # When their texts are looked at, Then none is a secret
        for line, name in secret_places.secrets_in(project, file):
            yield Finding(
                file,
                line,
                f"{name} is a secret as text.",
                f"write ${{{{ secrets.{name.upper()} }}}}.",
            )
        for key, value in scalars(project.yaml(file)):
            # and no secret comes from a variable, which everybody can read, nor from a text
            literal = LITERAL.search(value)
            if is_secret_name(key) and literal and is_value(literal["value"], key):
                yield Finding(
                    file, value.line, f"{key} falls back to a text.", "leave the fallback out."
                )
            for match in OPEN.finditer(value):
                if is_secret_name(match["name"]):
                    yield Finding(
                        file,
                        value.line,
                        f"{match['name']} is a variable, which is no secret store.",
                        f"write secrets.{match['name']}, and move the value to the secrets.",
                    )
    for workflow in project.workflows:
        inputs = workflow.triggers.map("workflow_dispatch").map("inputs")
        for name in inputs:
            if is_secret_name(name):
                yield Finding(
                    *inputs.place_of(name),
                    f"the input {name} is shown in the log of the run.",
                    "take it from a secret.",
                )


@guards("S6.4")
def test_deployments_hold_no_secret(project: Project) -> Iterator[Finding]:
    # Given the files that a deployment is made of
    tracked = set(project.files)
    for file in [*project.model_files, *project.matching(ENVIRONMENT), *other_env_files(project)]:
        # When their values are looked at, Then none is a secret
        for line, name in secret_places.secrets_in(project, file):
            yield Finding(
                file,
                line,
                f"{name} is a secret as text.",
                "write ${NAME}, and give its value on the server.",
            )
    for file in project.model_files:
        # and no secret is read from a file that git has
        for source, line in secret_files(project.yaml(file)):
            plain = source.removeprefix("./")
            if plain in tracked or f"deploy/{plain}" in tracked:
                yield Finding(
                    file,
                    line,
                    f"the secret's file {source} is in the project.",
                    "keep it on the server.",
                )


def other_env_files(project: Project) -> list[str]:
    """Return the env files beside those of the environments, without examples and .env itself."""
    return [
        file
        for file in project.files
        if file.endswith(".env") and not ENVIRONMENT.fullmatch(file) and not in_tests(file)
    ]


def secret_files(content: Any) -> Iterator[tuple[str, int]]:
    """Yield the files of a deployment's secrets."""
    top = content.map("secrets") if isinstance(content, Map) else Map()
    for one in top.values():
        file = one.get("file") if isinstance(one, Map) else None
        for text in file if isinstance(file, Seq) else [file]:
            if isinstance(text, Text):
                yield str(text), text.line
