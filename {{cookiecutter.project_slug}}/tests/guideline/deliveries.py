"""What a workflow deploys, where to, and what it builds on the way."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from tests.guideline import expressions
from tests.guideline.pipelines import SCRIPT_INPUTS, Run, RunningJob, RunningStep
from tests.guideline.project import Project
from tests.guideline.shell import SHELLS, Command


def commands_of(*texts: str) -> list[list[str]]:
    """Return programs with their subcommands."""
    return [text.split() for text in texts]


def is_any(command: Command, known: list[list[str]]) -> bool:
    """Tell whether a command is one of some."""
    return any(command.starts_with(*names) for names in known)


PRODUCTION, STAGING = "production", "staging"
NAMES = {
    PRODUCTION: re.compile(r"(?i)(?<![a-z])(?:prod|production|prd)(?![a-z])"),
    STAGING: re.compile(r"(?i)(?<![a-z])(?:staging|stage|stg)(?![a-z])"),
}
TOOL = re.compile(r"(?:^|.*\.)release$")
DEPLOYING = commands_of(
    "docker stack deploy", "docker service update", "docker service create", "docker compose up",
    "docker-compose up", "kubectl apply", "kubectl set", "kubectl rollout restart",
    "helm upgrade", "helm install", "kamal deploy", "fly deploy", "flyctl deploy",
    "gcloud run deploy", "aws ecs update-service", "ansible-playbook", "nomad job run",
)  # fmt: skip
SCRIPT = re.compile(r"(?i)(?:.*[_./-])?(?:deploy|rollout|release|ship)(?:[_.-].*)?")
BACK_SCRIPT = re.compile(r"(?i)(?:.*[./])?(?:rollback|roll[_-]back|revert|undo)(?:[_.-][\w.-]*)?")
GOING_BACK = commands_of(
    "docker service rollback", "kubectl rollout undo", "helm rollback", "kamal rollback",
)  # fmt: skip
DRY = re.compile(
    r"(?i)\b(?:plan|diff|dry-run|config|check|status|history|promote|verified|lint|help)\b"
)
ACTION = re.compile(r"(?i)deploy(?!-pages)|ssh-action|cloud-?run|app-?service|webapps")
BUILDING = commands_of(
    "docker build", "docker image build", "docker buildx build", "docker buildx bake",
    "docker builder build", "docker compose build", "docker-compose build", "docker commit",
    "docker import", "podman build", "buildah bud", "buildah build", "nerdctl build",
    "buildctl build", "pack build", "executor", "gcloud builds submit", "az acr build",
)  # fmt: skip
BUILD_ACTION = re.compile(
    r"(?i)build-push-action|bake-action|kaniko|buildah-build|docker-publish|build-and-push"
)
PUSHING = commands_of(
    "docker push", "docker image push", "docker compose push", "docker-compose push",
    "podman push", "buildah push", "skopeo copy", "crane push",
)  # fmt: skip


@dataclass(frozen=True)
class Delivery:
    """A deployment by a workflow's step.

    Args:
        run, job, step: where it happens.
        command: that deploys; None where an action or an unknown program does.
        targets: staging, production, or both where a person chooses.
        is_rollback: it goes back to a former version.
    """

    run: Run
    job: RunningJob
    step: RunningStep
    command: Command | None
    targets: frozenset[str]
    is_rollback: bool

    @property
    def place(self) -> tuple[str, int]:
        """The file and line of the command, else of the step."""
        if self.command and self.command.file:
            return self.command.file, self.command.line
        return self.step.step.file, self.step.step.line

    def before(self) -> Iterator[Command]:
        """Yield the commands of the jobs that come before."""
        for job in self.run.before(self.job.key):
            yield from (command for _, command in job.commands)


@cache
def deliveries(project: Project) -> list[Delivery]:
    """Return every deployment of every run whose target is known."""
    found = []
    for run in project.pipelines.runs:
        for job in run.jobs.values():
            found += [one for one in _of_job(run, job) if one.targets]
    return found


def _of_job(run: Run, job: RunningJob) -> Iterator[Delivery]:
    some = False
    for step in job.steps:
        for command in step.commands:
            if deploys(command) or goes_back(command):
                some = True
                targets, is_back = _targets(run, job, step, command.text), goes_back(command)
                # A way back whose target nothing names may lead anywhere.
                targets = targets or frozenset(NAMES if is_back else ())
                yield Delivery(run, job, step, command, targets, is_back)
        if step.step.uses and not step.commands and ACTION.search(step.step.uses):
            some = True
            text = " ".join(step.step.given.values())
            yield Delivery(run, job, step, None, _targets(run, job, step, text), is_rollback=False)
    plans = any(TOOL.match(one.program) and "plan" in one.arguments for _, one in job.commands)
    named = job.environment and SCRIPT.fullmatch(job.job.id)
    if job.steps and named and not (some or plans):
        step = next((one for one in reversed(job.steps) if one.fatal), job.steps[-1])
        yield Delivery(run, job, step, None, _named(job.environment), is_rollback=False)


def _targets(run: Run, job: RunningJob, step: RunningStep, text: str) -> frozenset[str]:
    """Return where a step deploys to, by what says it most closely."""
    environment = job.environment
    if environment.startswith("${{"):
        match = re.search(r"inputs\.([\w-]+)", environment)
        options = run.workflow.options(match[1]) if match else []
        value = expressions.value_of(environment, run.event.context)
        environment = " ".join(options) or (value if isinstance(value, str) else environment)
    values = " ".join([*step.env.values(), *_options(step)])
    own = run.workflow.name if job.job.file == run.workflow.file else ""
    for source in (text, environment, values, job.key, job.job.name, job.job.file, own):
        if found := _named(source):
            return found
    return frozenset()


def _options(step: RunningStep) -> Iterator[str]:
    """Yield what an action is given, without the scripts among it."""
    return (text for name, text in step.step.given.items() if name not in SCRIPT_INPUTS)


def _named(text: str) -> frozenset[str]:
    return frozenset(name for name, pattern in NAMES.items() if pattern.search(text))


def deploys(command: Command) -> bool:
    """Tell whether a command puts a version on a server."""
    if TOOL.match(command.program):
        return "apply" in command.arguments or "deploy" in command.arguments
    if is_any(command, DEPLOYING):
        return not command.has("--dry-run", "--check") and "config" not in command.arguments
    if command.starts_with("docker", "run"):
        return command.has("-d", "--detach", "--restart")
    name = command.program
    is_script = command.core and ("/" in command.core[0] or name.endswith((".sh", ".py")))
    if name in {*SHELLS, "python", "python3"} and command.arguments:
        is_script, name = True, command.arguments[0].rsplit("/", 1)[-1]
    return bool(is_script and SCRIPT.fullmatch(name) and not DRY.search(command.text))


def goes_back(command: Command) -> bool:
    """Tell whether a command puts a former version on a server."""
    if TOOL.match(command.program):
        return "rollback" in command.arguments
    if is_any(command, GOING_BACK):
        return True
    if command.starts_with("docker", "service", "update") and command.has("--rollback"):
        return True
    name = command.core[0] if command.core else ""
    if command.program in {*SHELLS, "python", "python3"} and command.arguments:
        name = command.arguments[0]
    return bool(BACK_SCRIPT.fullmatch(name))


def builds(step: RunningStep) -> Iterator[tuple[str, int]]:
    """Yield the places where a step builds an image: the step's own, whatever it calls."""
    if BUILD_ACTION.search(step.step.uses):
        yield step.step.file, step.step.line
    for command in step.commands:
        if builds_image(command):
            own = command.file == step.step.file
            yield step.step.file, command.line if own else step.step.line


def builds_image(command: Command) -> bool:
    """Tell whether a command builds an image."""
    if is_any(command, BUILDING):
        return True
    return "compose" in command.text and "up" in command.arguments and command.has("--build")


def pushes(step: RunningStep) -> bool:
    """Tell whether a step puts an image into a registry."""
    given = step.step.given
    if BUILD_ACTION.search(step.step.uses):
        to_registry = re.search(r"type=registry|push=true", given.get("outputs", ""))
        return given.get("push", "") == "true" or bool(to_registry) or "kaniko" in step.step.uses
    return any(
        is_any(command, PUSHING)
        or (builds_image(command) and command.has("--push"))
        or (builds_image(command) and "type=registry" in command.text)
        for command in step.commands
    )
