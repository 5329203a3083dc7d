"""What an event sets going, through called workflows, actions, make targets and scripts."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from tests.guideline import expressions, shell, workflows
from tests.guideline.shell import Command
from tests.guideline.workflows import Event, Job, Step, Workflow
from tests.guideline.yaml_text import Text, text_at

if TYPE_CHECKING:
    from tests.guideline.project import Project

DEEPEST = 5
MOST_VARIANTS = 32
EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
SCRIPT_INPUTS = ("script", "run", "command", "commands", "cmd")


@dataclass
class RunningStep:
    """A step as it runs: with the job's environment, and the inputs of its action filled in."""

    step: Step
    env: dict[str, str]
    fatal: bool
    commands: list[Command]


@dataclass
class RunningJob:
    """A job as it runs.

    Args:
        key: unique in its run; ``caller/job`` for a job of a called workflow.
        job: as it is written.
        check: the name under which GitHub reports it.
        environment: with inputs filled in.
        needs: keys of the jobs that come before.
        steps: those that can run.
    """

    key: str
    job: Job
    check: str
    environment: str
    needs: list[str]
    steps: list[RunningStep] = field(default_factory=list)

    @property
    def commands(self) -> Iterator[tuple[RunningStep, Command]]:
        """Every command with its step, in order."""
        return ((step, command) for step in self.steps for command in step.commands)


@dataclass
class Run:
    """A workflow that an event has started, with the jobs that may run."""

    workflow: Workflow
    event: Event
    jobs: dict[str, RunningJob]

    def before(self, key: str) -> list[RunningJob]:
        """Return the jobs that a job waits for, directly or not."""
        found: dict[str, RunningJob] = {}
        waiting = list(self.jobs[key].needs)
        while waiting:
            name = waiting.pop()
            if name in self.jobs and name not in found:
                found[name] = self.jobs[name]
                waiting += self.jobs[name].needs
        return list(found.values())


class Pipelines:
    """The runs of a project's workflows."""

    def __init__(self, project: "Project") -> None:
        self._project = project

    @cached_property
    def runs(self) -> list[Run]:
        """Every run that one of the example events starts."""
        return [
            self._run(workflow, event)
            for workflow in self._project.workflows
            for event in workflow.events()
            if event.name != "workflow_call"
        ]

    def on(self, name: str, branch: str = workflows.MAIN) -> list[Run]:
        """Return the runs of an event of one name and branch."""
        return [run for run in self.runs if run.event.name == name and run.event.branch == branch]

    def _run(self, workflow: Workflow, event: Event) -> Run:
        run = Run(workflow, event, {})
        self._add(run, workflow, {}, "", "", [], 0)
        return run

    def _add(
        self,
        run: Run,
        workflow: Workflow,
        inputs: Mapping[str, str],
        prefix: str,
        check: str,
        first_needs: list[str],
        depth: int,
    ) -> None:
        """Add the jobs of a workflow that may run."""
        context = {**run.event.context, **{f"inputs.{k}": v for k, v in inputs.items()}}
        off: set[str] = set()
        members: dict[str, list[str]] = {}  # a job that calls a workflow stands for its jobs
        for job in _in_order(workflow.jobs):
            conditioned = "always()" in job.condition or "!cancelled()" in job.condition
            lacks = bool(off & set(job.needs)) and not conditioned
            if lacks or not expressions.may_hold(job.condition, context):
                off.add(job.id)
                continue
            needs = [key for one in job.needs for key in members.get(one, [])] or first_needs
            key, name = f"{prefix}{job.id}", f"{check}{filled(job.name, inputs)}"
            called = self._project.called_workflow(job.uses)
            if called is not None and depth < DEEPEST:
                known = set(run.jobs)
                given = {k: filled(v, inputs) for k, v in job.given.items()}
                self._add(run, called, given, f"{key}/", f"{name} / ", needs, depth + 1)
                members[job.id] = [one for one in run.jobs if one not in known]
                continue
            running = RunningJob(key, job, name, filled(job.environment, inputs), needs)
            env = {k: filled(v, inputs) for k, v in {**workflow.env, **job.env}.items()}
            for variant in _variants(job):
                running.steps += self._steps(
                    job.steps, {**inputs, **variant}, env, context, not job.survives, depth
                )
            run.jobs[key] = running
            members[job.id] = [key]

    def _steps(
        self,
        steps: list[Step],
        inputs: Mapping[str, str],
        env: Mapping[str, str],
        context: Mapping[str, str],
        fatal: bool,
        depth: int,
    ) -> Iterator[RunningStep]:
        for step in steps:
            # A step that waits for a failure proves nothing when all goes well.
            if not expressions.may_hold(filled(step.condition, inputs), context):
                continue
            counts = fatal and not step.survives
            own = {**env, **{k: filled(v, inputs) for k, v in step.env.items()}}
            given: dict[str, str] = {k: filled(v, inputs) for k, v in step.given.items()}
            inner = self._project.action_steps(step.uses)
            if inner is not None and depth < DEEPEST:
                yield RunningStep(replace(step, given=given), own, counts, [])
                yield from self._steps(inner, given, own, context, counts, depth + 1)
                continue
            run = text_at(filled(step.run, inputs), step.run.line) if step.run else None
            resolved = replace(step, run=run, given=given)
            yield RunningStep(resolved, own, counts, self._commands(resolved, own, counts))

    def _commands(self, step: Step, env: Mapping[str, str], fatal: bool) -> list[Command]:
        options = step.shell.strip()
        scripts: list[tuple[str, int]] = []
        if step.run is not None and re.match(r"(?:$|bash|sh|\S*/(?:ba)?sh|dash|zsh)", options):
            scripts.append((step.run, step.run.line))
        for name in SCRIPT_INPUTS:  # actions that run a script on a server
            value = step.given.get(name)
            if step.uses and value:
                scripts.append((value, getattr(value, "line", step.line)))
        found: list[Command] = []
        for script, line in scripts:
            custom = "{0}" in options
            commands = shell.commands(
                script,
                line=line,
                file=step.file,
                errexit=not custom or bool(re.search(r"\s-\w*e", options)),
                pipefail=options == "bash" or "pipefail" in options,
            )
            found += self._project.resolved(commands, step.folder, env)
        if fatal:
            return found
        # Where the step or its job ignores a failure, the step is the place to look at.
        return [
            replace(one, fatal=False, file=step.file, line=step.line) if one.fatal else one
            for one in found
        ]


def _in_order(jobs: list[Job]) -> list[Job]:
    """Return the jobs, each after those that it needs."""
    waiting = list(jobs)
    ordered: list[Job] = []
    while waiting:
        known = {job.id for job in ordered}
        names = {job.id for job in jobs}
        ready = [job for job in waiting if set(job.needs) & names <= known] or waiting[:1]
        ordered += ready
        waiting = [job for job in waiting if job not in ready]
    return ordered


def _variants(job: Job) -> list[dict[str, str]]:
    """Return the values of a job's matrix that its steps use, one mapping for each combination."""
    used = str([step.run for step in job.steps] + [step.given for step in job.steps])
    keys = [key for key, values in job.matrix.items() if values and f"matrix.{key}" in used]
    combined = itertools.product(*(job.matrix[key] for key in keys))
    return [
        {f"matrix.{key}": value for key, value in zip(keys, values, strict=True)}
        for values in itertools.islice(combined, MOST_VARIANTS)
    ]


def filled(text: str, inputs: Mapping[str, str]) -> Text:
    """Return a text with those of its inputs filled in that are known."""

    def value(match: re.Match[str]) -> str:
        name = match[1].strip().removeprefix("github.event.").removeprefix("inputs.")
        return inputs.get(name, match[0])

    return (
        text_at(EXPRESSION.sub(value, text), getattr(text, "line", 1)) if text else text_at("", 1)
    )
