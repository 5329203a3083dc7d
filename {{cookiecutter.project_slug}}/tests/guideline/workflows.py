"""Workflows of GitHub Actions: their triggers, jobs and steps, as they are written."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.guideline import yaml_text
from tests.guideline.findings import BrokenFileError
from tests.guideline.yaml_text import Map, Seq, Text

MAIN = "main"
BRANCHES = (MAIN, "feature/example", "example")
TAGS = ("v1.2.3", "example")
PULL_REQUEST = "pull_request"
# Without `types`, a pull request starts a workflow for these.
USUAL_TYPES = {"opened", "synchronize"}


@dataclass(frozen=True)
class Event:
    """Something that starts a workflow.

    Args:
        name: such as ``push``.
        branch: that is pushed to, or that a pull request is to be merged into.
        tag: that is pushed.
        line: where the trigger stands.
    """

    name: str
    branch: str = ""
    tag: str = ""
    line: int = 1

    @property
    def context(self) -> dict[str, str]:
        """What expressions see of it."""
        known = {"github.event_name": self.name}
        if self.name.startswith(PULL_REQUEST):
            known |= {"github.base_ref": self.branch, "github.ref": "refs/pull/1/merge"}
            known |= {"github.head_ref": "feature/example", "github.ref_name": "1/merge"}
        elif self.tag:
            known |= {"github.ref": f"refs/tags/{self.tag}", "github.ref_name": self.tag}
            known |= {"github.ref_type": "tag", "github.head_ref": ""}
        elif self.branch:
            known |= {"github.ref": f"refs/heads/{self.branch}", "github.ref_name": self.branch}
            known |= {"github.ref_type": "branch", "github.head_ref": ""}
        return known

    def __str__(self) -> str:
        """Return the event in words."""
        if self.tag:
            return f"a push of the tag {self.tag}"
        to = {"push": "a push to", PULL_REQUEST: "a pull request to"}.get(self.name)
        return f"{to} {self.branch}" if to and self.branch else self.name


@dataclass
class Step:
    """A step of a job or of a composite action."""

    file: str
    line: int
    name: str
    run: Text | None
    uses: str
    given: dict[str, str]
    env: dict[str, str]
    condition: str
    shell: str
    folder: str
    survives: bool


@dataclass
class Job:
    """A job; ``uses`` names the workflow that it calls, if it calls one."""

    file: str
    line: int
    id: str
    name: str
    needs: list[str]
    condition: str
    environment: str
    env: dict[str, str]
    steps: list[Step]
    uses: str
    given: dict[str, str]
    survives: bool
    matrix: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Workflow:
    """A workflow."""

    file: str
    name: str
    triggers: Map
    jobs: list[Job]
    env: dict[str, str]

    def events(self) -> Iterator[Event]:
        """Yield an example of every kind of event that starts it."""
        for name, filters in self.triggers.items():
            line = self.triggers.line_of(name)
            rules = filters if isinstance(filters, Map) else Map()
            if name == "push":
                yield from _pushes(rules, line)
            elif name.startswith(PULL_REQUEST):
                yield from (Event(name, one, line=line) for one in _likely(rules, "branches", MAIN))
            else:
                yield Event(name, line=line)

    def filters(self, event: Event) -> Map:
        """Return the filters of a trigger."""
        found = self.triggers.get(event.name)
        return found if isinstance(found, Map) else Map()

    def misses(self, event: Event, file: str) -> bool:
        """Tell whether an event that changes one file alone does not start it."""
        rules = self.filters(event)
        types = _texts(rules.get("types"))
        is_pull_request = event.name.startswith(PULL_REQUEST)
        if types and is_pull_request and not set(types) >= USUAL_TYPES:
            return True
        paths, ignored = _texts(rules.get("paths")), _texts(rules.get("paths-ignore"))
        return bool((paths and not _last_match(paths, file)) or _last_match(ignored, file))

    def options(self, name: str) -> list[str]:
        """Return what may be chosen for an input of a start by hand."""
        inputs = (self.triggers.get("workflow_dispatch") or {}).get("inputs") or {}
        found = inputs.get(name) if isinstance(inputs, Map) else None
        return _texts(found.get("options")) if isinstance(found, Map) else []


def _pushes(rules: Map, line: int) -> Iterator[Event]:
    has_branches = bool({"branches", "branches-ignore"} & rules.keys())
    has_tags = bool({"tags", "tags-ignore"} & rules.keys())
    if has_branches or not has_tags:
        yield from (Event("push", one, line=line) for one in _likely(rules, "branches", *BRANCHES))
    if has_tags or not has_branches:
        yield from (Event("push", tag=one, line=line) for one in _likely(rules, "tags", *TAGS))


def _likely(rules: Map, kind: str, *usual: str) -> Iterator[str]:
    """Yield examples of the names that a filter lets in: usual ones, and some like its patterns."""
    like = (re.sub(r"[*?+]+", "1.2.3", one) for one in _texts(rules.get(kind)))
    return (name for name in dict.fromkeys((*usual, *like)) if _admits(rules, kind, name))


def _admits(rules: Map, kind: str, name: str) -> bool:
    wanted, ignored = _texts(rules.get(kind)), _texts(rules.get(f"{kind}-ignore"))
    if kind in rules:
        return _last_match(wanted, name)
    return not _last_match(ignored, name)


def _last_match(patterns: list[str], name: str) -> bool:
    """Tell whether the last of the patterns that matches lets a name in."""
    let_in = False
    for pattern in patterns:
        if _expression(pattern.removeprefix("!")).fullmatch(name):
            let_in = not pattern.startswith("!")
    return let_in


def _expression(pattern: str) -> re.Pattern[str]:
    made, at = "", 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            made, at = made + "(?:.*/)?", at + 3
        elif pattern.startswith("**", at):
            made, at = made + ".*", at + 2
        else:
            char = pattern[at]
            kept = {"*": "[^/]*", "?": "?", "+": "+", "[": "[", "]": "]"}
            made, at = made + kept.get(char, re.escape(char)), at + 1
    try:
        return re.compile(made)
    except re.error:
        return re.compile(re.escape(pattern))


def parse(content: str, file: str) -> Workflow:
    """Return a workflow.

    Raises:
        BrokenFileError: it is none.
    """
    whole = yaml_text.load(content, file)
    if not isinstance(whole, Map) or not isinstance(whole.get("jobs"), Map):
        raise BrokenFileError(file, getattr(whole, "line", 1), "this workflow has no jobs.")
    shell, folder = _defaults(whole)
    jobs = [
        _job(name, value, file, whole["jobs"].line_of(name), shell, folder)
        for name, value in whole["jobs"].items()
        if isinstance(value, Map)
    ]
    return Workflow(
        file, str(whole.get("name", file)), triggers(whole), jobs, _map(whole.get("env"))
    )


def triggers(whole: Map) -> Map:
    """Return the triggers as a mapping, whether written as one, as a list or as a word."""
    on = whole.get("on")
    if isinstance(on, Map):
        return on
    found = Map({name: Map() for name in _texts(on)})
    found.file, found.line = whole.place_of("on")
    found.places = dict.fromkeys(found, (found.file, found.line))
    return found


def parse_action(content: str, file: str) -> list[Step]:
    """Return the steps of a composite action, none of any other."""
    whole = yaml_text.load(content, file)
    runs = whole.get("runs") if isinstance(whole, Map) else None
    return _steps(runs, file, "", "") if isinstance(runs, Map) else []


def _job(name: str, job: Map, file: str, line: int, shell: str, folder: str) -> Job:
    own_shell, own_folder = _defaults(job)
    environment = job.get("environment", "")
    if isinstance(environment, Map):
        environment = environment.get("name", "")
    strategy = job.get("strategy")
    matrix = strategy.get("matrix") if isinstance(strategy, Map) else None
    return Job(
        file,
        line,
        name,
        str(job.get("name", name)),
        _texts(job.get("needs")),
        str(job.get("if", "")),
        str(environment),
        _map(job.get("env")),
        _steps(job, file, own_shell or shell, own_folder or folder),
        str(job.get("uses", "")),
        _map(job.get("with")),
        _is_true(job.get("continue-on-error")),
        {key: _texts(values) for key, values in matrix.items()} if isinstance(matrix, Map) else {},
    )


def _steps(holder: Map, file: str, shell: str, folder: str) -> list[Step]:
    found = []
    for step in holder.get("steps") or []:
        if not isinstance(step, Map):
            continue
        run = step.get("run")
        found.append(
            Step(
                file,
                step.line,
                str(step.get("name", step.get("id", ""))),
                run if isinstance(run, Text) else None,
                str(step.get("uses", "")),
                _map(step.get("with")),
                _map(step.get("env")),
                str(step.get("if", "")),
                str(step.get("shell", shell)),
                str(step.get("working-directory", folder)),
                _is_true(step.get("continue-on-error")),
            )
        )
    return found


def _defaults(holder: Map) -> tuple[str, str]:
    defaults = holder.get("defaults")
    run = defaults.get("run") if isinstance(defaults, Map) else None
    if not isinstance(run, Map):
        return "", ""
    return str(run.get("shell", "")), str(run.get("working-directory", ""))


def _map(value: Any) -> dict[str, str]:
    if not isinstance(value, Map):
        return {}
    return {name: one for name, one in value.items() if isinstance(one, Text)}


def _texts(value: Any) -> list[str]:
    if isinstance(value, Seq):
        return [str(one) for one in value if isinstance(one, Text)]
    return [str(value)] if isinstance(value, Text) and value else []


def _is_true(value: Any) -> bool:
    return str(value).replace("${{", "").replace("}}", "").strip().lower() in {"true", "yes", "on"}
