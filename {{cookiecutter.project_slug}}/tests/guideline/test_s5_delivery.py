"""Section 5: continuous deployment, whatever the workflows are called and however they are cut."""

import itertools
import re
from collections.abc import Iterator

from tests.guideline.clauses import guards
from tests.guideline.compose import Service
from tests.guideline.deliveries import (
    PRODUCTION,
    STAGING,
    TOOL,
    Delivery,
    builds,
    commands_of,
    deliveries,
    is_any,
    pushes,
)
from tests.guideline.findings import Finding
from tests.guideline.pipelines import EXPRESSION, Run, RunningJob
from tests.guideline.project import Project
from tests.guideline.shell import Command

STAGING_FILE, PRODUCTION_FILE = (
    f".github/workflows/cd-{name}.yml" for name in (STAGING, PRODUCTION)
)
BY_HAND = {"workflow_dispatch", "release"}
MADE_BEFORE = re.compile(
    r"github\.sha|GITHUB_SHA|github\.run|needs\.|steps\.|inputs\.|github\.ref_name|client_payload|head_sha"
)
# Variables that say where, not what.
CONNECTION = re.compile(r"(?i)host|ssh|server|url|key|token|password|secret|path")
COPYING = r"\b(?:imagetools create|crane (?:tag|copy|cp)|skopeo copy|docker (?:image )?tag)\b"
# A tag that names whatever was built last, where the image is taken from.
MOVING = r"\S*:(?:latest|main|master|edge|nightly|dev)"
MOVED = re.compile(
    rf"\bimagetools create\b.*\s{MOVING}$|{COPYING}(?<!create)\s++(?:-\S+\s+)*+{MOVING}(?:\s|$)"
)
PROOF = re.compile(
    r"\bpromote\b|\b(?:cosign|notation)\b.*\bverify|attestation verify|[:/-]verified\b"
    rf"|{COPYING}"
)
STOPPING = commands_of(
    "docker compose up", "docker compose down", "docker compose restart", "docker compose stop",
    "docker-compose up", "docker-compose down", "docker-compose restart", "docker stack rm",
    "docker stack down", "docker stack remove", "docker service rm", "docker rm", "docker stop",
    "docker kill", "docker restart", "docker container stop", "docker run", "kubectl delete",
    "systemctl restart",
)  # fmt: skip


def to(project: Project, target: str) -> list[Delivery]:
    """Return the deployments to staging or production."""
    return [one for one in deliveries(project) if target in one.targets]


def upstream(project: Project, run: Run) -> list[Run]:
    """Return the runs on main whose end starts a run."""
    names = run.workflow.filters(run.event).get("workflows") or []
    return [one for one in project.pipelines.on("push") if one.workflow.name in names]


def on_push_to_main(project: Project, run: Run) -> bool:
    """Tell whether a push to main starts a run, by itself or by the end of another workflow."""
    if run.event.name == "workflow_run":
        return bool(upstream(project, run))
    return run.event.name == "push" and run.event.branch == "main"


def jobs_until(project: Project, one: Delivery) -> list[RunningJob]:
    """Return the jobs before a deployment, those of a workflow before included, and its own."""
    former = [job for run in upstream(project, one.run) for job in run.jobs.values()]
    return [*former, *one.run.before(one.job.key), one.job]


def told_version(one: Delivery) -> str:
    """Return all that may tell a deployment which image to take."""
    if one.command and TOOL.match(one.command.program):
        return one.command.text
    values = (value for name, value in one.step.env.items() if not CONNECTION.search(name))
    return " ".join(
        [one.command.text if one.command else "", *values, *one.step.step.given.values()]
    )


def missed(run: Run, files: list[str]) -> str:
    """Return a file whose change alone does not start a run, empty where each does."""
    return next((file for file in files if run.workflow.misses(run.event, file)), "")


@guards("S5.1")
def test_push_to_main_deploys_to_staging(project: Project) -> Iterator[Finding]:
    # Given the deployments to staging
    found = [one for one in to(project, STAGING) if not one.is_rollback]
    # When those are looked for that a push to main starts, Then there is one
    code = [file for file in project.files if file.endswith(".py")]
    started = [one for one in found if on_push_to_main(project, one.run)]
    if started and all(missed(one.run, code) for one in started):
        run = started[0].run
        yield Finding(
            run.workflow.file,
            run.event.line,
            f"a push to main that changes {missed(run, code)} alone does not deploy to staging.",
            "take the filter of paths away.",
        )
    if not started:
        file, line = (
            (found[0].run.workflow.file, found[0].run.event.line) if found else (STAGING_FILE, 1)
        )
        yield Finding(
            file,
            line,
            "a push to main does not deploy to staging.",
            "start the workflow that does by push with branches: [main], under no condition.",
        )


@guards("S5.2")
def test_staging_deploys_the_image_it_has_built_and_pushed(project: Project) -> Iterator[Finding]:
    # Given the deployments to staging after a push to main
    for one in to(project, STAGING):
        if one.is_rollback or not on_push_to_main(project, one.run):
            continue
        # When the jobs are read that it waits for
        steps = [step for job in jobs_until(project, one) for step in job.steps]
        built = [step for step in steps if any(builds(step))]
        version = told_version(one)
        # Then they build an image, push it, and this very image is deployed
        if not built:
            yield Finding(
                *one.place,
                "staging is deployed without an image being built before.",
                "build it in a job that this one needs.",
            )
        elif not any(pushes(step) for step in steps):
            step = built[0].step
            yield Finding(
                step.file,
                step.line,
                "the image is not pushed to the registry.",
                "push it: push: true.",
            )
        if not MADE_BEFORE.search(version) or re.search(r":latest\b", version):
            yield Finding(
                *one.place,
                "staging is not told which image was just built.",
                "deploy the tag or digest of this run, such as sha-${{ github.sha }}.",
            )


@guards("S5.3")
def test_production_is_deployed_by_hand_or_by_tag(project: Project) -> Iterator[Finding]:
    # Given the deployments to production
    found = to(project, PRODUCTION)
    # When their events are looked at
    wrong = [one for one in found if one.run.event.name not in BY_HAND and not one.run.event.tag]
    right = [one for one in found if one not in wrong and not one.is_rollback]
    # Then a person or a tag starts each of them
    for one in wrong:
        yield Finding(
            one.run.workflow.file,
            one.run.event.line,
            f"{one.run.event} deploys to production.",
            "start it by workflow_dispatch or by push with tags alone.",
        )
    if not right:
        yield Finding(
            PRODUCTION_FILE,
            1,
            "nothing deploys to production by hand or by a tag.",
            "add a workflow with workflow_dispatch and push with tags: [v*].",
        )


@guards("S5.4")
def test_production_gets_a_verified_image(project: Project) -> Iterator[Finding]:
    # Given the deployments to production
    for one in to(project, PRODUCTION):
        # When all that runs with it is read
        built = [
            place for job in one.run.jobs.values() for step in job.steps for place in builds(step)
        ]
        jobs = [*one.run.before(one.job.key), one.job]
        proofs = [
            command
            for job in jobs
            for _, command in job.commands
            if PROOF.search(EXPRESSION.sub("", command.text))
            and not MOVED.search(command.text)
            and command.program not in {"echo", "printf", "git"}
        ]
        # Then nothing is built, and something says that the image was verified
        for file, line in built:
            yield Finding(
                file,
                line,
                "production builds an image.",
                "deploy the image that staging has verified.",
            )
        if not proofs and not one.is_rollback:
            yield Finding(
                *one.place,
                "production gets an image that nothing has verified.",
                "take the one that staging ran: deploy.release promote, or cosign verify.",
            )
    # and staging has run an image before it counts as verified
    for one in to(project, STAGING):
        for command in () if one.is_rollback else until(one):
            if notes(command):
                yield Finding(
                    command.file or one.place[0],
                    command.line,
                    "an image counts as verified before staging has run it.",
                    "move this behind the deployment to staging.",
                )


def until(one: Delivery) -> Iterator[Command]:
    """Yield the commands that run before a deployment."""
    yield from one.before()
    own = (command for _, command in one.job.commands) if one.command else ()
    yield from itertools.takewhile(lambda command: command is not one.command, own)


def notes(command: Command) -> bool:
    """Tell whether a command notes that an image is verified."""
    if TOOL.match(command.program):
        return "verified" in command.arguments
    return bool(re.search(COPYING, command.text) and re.search(r"[:-]verified", command.text))


@guards("S5.5")
def test_updates_are_rolling(project: Project) -> Iterator[Finding]:
    # Given the services of each stack, and the commands that deploy to production
    for deployment in project.deployments:
        if deployment.is_stack:
            for service in project.serving(deployment):
                # When an update replaces their replicas, Then some of them go on
                yield from stops_all(service)
    for one in to(project, PRODUCTION):
        for step, command in one.job.commands:
            if why := interruption(project, command):
                yield Finding(
                    command.file or step.step.file,
                    command.line,
                    f"`{' '.join(command.core[:4])}` {why}.",
                    "update the stack, replica by replica: python3 -m deploy.release apply.",
                )
    for file in project.python_files:
        if file.startswith("deploy/") and re.search(
            r"[\"'](?:stack|service)[\"'],\s*[\"']rm[\"']", project.text(file)
        ):
            line = project.line_of(file, r"[\"'](?:stack|service)[\"'],\s*[\"']rm[\"']")
            yield Finding(
                file, line, "the release removes what runs.", "update it with docker stack deploy."
            )


def stops_all(service: Service) -> Iterator[Finding]:
    """Yield why an update of a service would stop all its replicas."""
    deploy = service.deploy
    if deploy.get("mode") in {"global", "replicated-job", "global-job"}:
        return
    update = deploy.map("update_config")
    first = str(update.get("order") or "stop-first")
    parallelism, replicas = number(update.get("parallelism"), 1), number(deploy.get("replicas"), 1)
    if parallelism == 0:
        place = service.place_of("deploy", "update_config", "parallelism")
        yield Finding(*place, "parallelism 0 replaces all replicas at once.", "set parallelism: 1.")
    elif first == "stop-first" and parallelism >= replicas:
        place = service.place_of("deploy", "update_config", "order")
        yield Finding(
            *place,
            f"{service.name}: stop-first, {parallelism} of {replicas} at a time, stops all.",
            "set order: start-first, or more replicas than are replaced at a time.",
        )


def number(value: object, default: int) -> int:
    """Return a number of a YAML file, a default where there is none."""
    text = str(value).strip() if value is not None else ""
    return int(text) if text.isdigit() else default


def interruption(project: Project, command: Command) -> str:
    """Return why a command interrupts the service, empty where it does not."""
    if is_any(command, STOPPING):
        is_tool = command.starts_with("docker", "run") and not command.has("-d", "--detach")
        return "" if is_tool else "stops the service before the new version runs"
    if command.starts_with("docker", "service", "scale") and re.search(r"=0\b", command.text):
        return "stops all replicas"
    if command.starts_with("docker", "service", "update"):
        if command.has("--force"):
            return "restarts what runs, without the stack's own order"
        if command.option("--update-parallelism") == "0" or command.option("--replicas") == "0":
            return "replaces all replicas at once"
        if command.option("--update-order") == "stop-first":
            return "stops a replica before the new one runs"
    return ""
