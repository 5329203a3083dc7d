"""What cookiecutter cannot do with answers by itself; loaded by ``_extensions``.

* An unknown ``key=value`` on the command line is an error (cookiecutter ignores it).
* Wrong answers are refused before a folder is created.
* ``{{`` in an answer stays text (cookiecutter would evaluate it).
* ``pairs`` hands the answers to the hooks, ``record`` writes them down with the template's commit.
* ``quoted`` writes any text as a string that TOML, YAML and Python all read.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import click
from jinja2 import Environment
from jinja2.ext import Extension

from kodex_answers import problems
from kodex_record import record

ROOT = Path(__file__).parent
PROJECT_FOLDER = "{{cookiecutter.project_slug}}"


class Answers(Extension):
    """Checks the answers and adds the filters."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters.update(
            checked=checked, one_line=one_line, pairs=pairs, quoted=quoted, record=record
        )
        refuse_unknown_answers()

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:  # noqa: ARG002
        """Keep Jinja marks in an answer as text.

        Files have a name. Of the sources without one, those that are the template's own
        (derived answers, the project's folder, hooks) are known; the rest is what a person typed.
        """
        if name is not None or source in own_sources():
            return source
        return re.sub(r"\{[{%#]", lambda mark: "{{ '" + mark[0] + "' }}", source)


@cache
def own_sources() -> frozenset[str]:
    """Return the template's own texts that cookiecutter renders without a file name."""
    answers = json.loads((ROOT / "cookiecutter.json").read_text("utf-8"))
    hooks = (hook.read_text("utf-8") for hook in (ROOT / "hooks").glob("*.py"))
    texts = (text for text in answers.values() if isinstance(text, str))
    return frozenset([PROJECT_FOLDER, *hooks, *texts])


def refuse_unknown_answers() -> None:
    """Raise `click.UsageError` for a ``key=value`` argument that is no question of ours."""
    context = click.get_current_context(silent=True)
    given = context.params.get("extra_context") if context else None
    questions = json.loads((ROOT / "cookiecutter.json").read_text("utf-8"))
    known = [key for key in questions if not key.startswith("_")]
    for key in given if isinstance(given, dict) else ():
        if key not in known:
            names = ", ".join(known)
            raise click.UsageError(f"{key}: there is no such answer; the answers are {names}.")


def checked(answers: dict[str, Any]) -> str:
    """Raise `click.UsageError` naming every wrong answer."""
    if found := problems(answers):
        raise click.UsageError("\nError: ".join(found))
    return "yes"


def pairs(answers: dict[str, Any]) -> str:
    """Return the answers as a Python list of pairs, for the hooks."""
    return ascii([(name, value) for name, value in answers.items() if isinstance(value, str)])


def one_line(text: str) -> str:
    """Return the text with every run of white space, line ends included, as one space."""
    return " ".join(text.split())


def quoted(text: str) -> str:
    """Return the text in double quotes, valid as a TOML, a YAML and a Python string.

    What is not printable (control characters, line separators, lone surrogates) is escaped
    or, where no format can hold it, dropped.
    """
    body = json.dumps(text.encode("utf-8", "ignore").decode("utf-8"), ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in body)
