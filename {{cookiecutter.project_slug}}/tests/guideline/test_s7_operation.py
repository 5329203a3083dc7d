"""Section 7: watching the service, its logs, and the way back."""

import re
from collections.abc import Iterator

from tests.guideline import images, python_code, shell
from tests.guideline.clauses import guards
from tests.guideline.compose import Service
from tests.guideline.deliveries import TOOL, Delivery, deliveries, goes_back
from tests.guideline.findings import Finding
from tests.guideline.pipelines import RunningStep
from tests.guideline.project import Project, in_tests, is_executable
from tests.guideline.secret_text import is_secret_name
from tests.guideline.shell import Command

NOTHING = re.compile(
    r"(?:CMD(?:-SHELL)?\s+)?(?:/bin/)?(?:true|:|exit 0|echo\b.*)|.*\|\|\s*(?:true|exit 0|:)"
)
LOG_SETUP = re.compile(r"dictConfig|basicConfig|StreamHandler|setFormatter|structlog\.configure")
SECRET_REFERENCE = re.compile(r"\$\{\{[^}]*\bsecrets\.(?!GITHUB_TOKEN)")
BACK_SCRIPT = re.compile(r"(?i)(?:.*/)?[\w.-]*(?:revert|rollback|roll-back|roll_back|undo)[\w.-]*")
DUMPING = {("env",), ("printenv",), ("set",), ("export",), ("export", "-p"), ("declare", "-p")}
# Programs that give on what they get, values and all.
GIVING_ON = {"cat", "column", "head", "less", "more", "nl", "sort", "tail", "tee", "uniq"}
SHOWING = {"echo", "printf", "printenv"}


@guards("S7.1")
def test_failing_deployments_are_noticed(project: Project) -> Iterator[Finding]:
    # Given the services that answer callers
    in_image = any(
        one.keyword == "HEALTHCHECK"
        and not one.value.upper().startswith("NONE")
        and not says_nothing(one.value)
        for build in project.service_builds
        for stage in build.stages
        for one in stage.instructions
    )
    for deployment in project.deployments:
        for service in project.serving(deployment):
            # When their health checks are looked at, Then there is one that can fail
            check = service.content.map("healthcheck")
            if is_off(service) or not (check.get("test") or in_image):
                yield Finding(
                    *service.place_of("healthcheck"),
                    f"nothing tells whether the service {service.name} works.",
                    "give it a healthcheck, or its image a HEALTHCHECK.",
                )
            # and an update that fails it does not go on
            update = service.deploy.map("update_config")
            if update.get("failure_action") == "continue":
                yield Finding(
                    *update.place_of("failure_action"),
                    "an update goes on although its replicas fail.",
                    "set failure_action: rollback.",
                )
            ratio = str(update.get("max_failure_ratio", "0"))
            if re.fullmatch(r"1(?:\.0*)?", ratio):
                yield Finding(
                    *update.place_of("max_failure_ratio"),
                    "an update may fail on all replicas without being noticed.",
                    "set max_failure_ratio: 0.",
                )
    for one in deliveries(project):
        # and a workflow whose deployment fails fails too
        if goes_unnoticed(one):
            yield Finding(
                *one.place,
                "a deployment that fails leaves the workflow green.",
                "take continue-on-error or `|| true` away.",
            )


def goes_unnoticed(one: Delivery) -> bool:
    """Tell whether nothing fails when a deployment does: neither its step nor one that asks."""
    fails = one.step.fatal and (one.command is None or one.command.fatal)
    passed_on = any(
        command.program == "exit" and command.arguments != ("0",) for command in one.step.commands
    )
    asked = any(".outcome" in step.condition for step in one.job.job.steps)
    return not (fails or asked or (passed_on and one.step.fatal))


def is_off(service: Service) -> bool:
    """Tell whether a service's health check is switched off, or never fails."""
    check = service.content.map("healthcheck")
    test = check.get("test")
    words = " ".join(test) if isinstance(test, list) else str(test or "")
    return check.get("disable") in {"true", "yes"} or words.strip() == "NONE" or says_nothing(words)


def says_nothing(check: str) -> bool:
    """Tell whether a health check's command cannot fail."""
    plain = re.sub(r"[\[\]\",]+", " ", re.sub(r"^.*?CMD", "CMD", check)).strip()
    return bool(plain) and bool(NOTHING.fullmatch(re.sub(r"\s+", " ", plain)))


@guards("S7.2")
def test_secrets_reach_no_log(project: Project) -> Iterator[Finding]:
    # Given the programs, the workflows and the scripts
    fix = "leave it out, or log only that it is there."
    # When what they print and log is looked at
    for file in project.python_files:
        tree = python_code.parse(project.text(file))
        for line, name in python_code.logged_secrets(tree) if tree else ():
            yield Finding(file, line, f"{name} is logged.", fix)
    for file, line, name in shown_secrets(project):
        # Then no secret is among it
        yield Finding(file, line, f"{name} is shown in the log.", fix)
    yield from unmasked_logs(project)


def shown_secrets(project: Project) -> Iterator[tuple[str, int, str]]:
    """Yield (file, line, name) of each secret that a workflow, script or image build prints."""
    for run in project.pipelines.runs:
        for job in run.jobs.values():
            for step in job.steps:
                yield from _shown_by_step(step)
    for command in project.all_commands:
        if name := shown(command):
            yield command.file, command.line, name
    for file in project.scripts:
        text = project.text(file)
        commands = shell.commands(text, file=file)
        if any(is_secret_name(name) for command in commands for name in command.variables):
            for command in filter(traces, commands):
                yield file, command.line, "each command with its secrets (set -x)"
        first = text.splitlines()[:1]
        if (
            first
            and re.match(r"#!.*\s-\w*x", first[0])
            and re.search(r"(?i)token|password|api_key", text)
        ):
            yield file, 1, "each command with its secrets (-x)"
    for build in project.builds:
        for _, commands in images.run_commands(project, build, *build.dockerfile.stages):
            for command in commands:
                if name := shown(command):
                    yield command.file, command.line, name


def _shown_by_step(step: RunningStep) -> Iterator[tuple[str, int, str]]:
    holding = {name for name, value in step.env.items() if SECRET_REFERENCE.search(value)}
    has_secrets = bool(holding) or bool(SECRET_REFERENCE.search(step.step.run or ""))
    for command in step.commands:
        file, line = command.file or step.step.file, command.line
        named = set(command.variables) & holding
        if name := shown(command) or (prints(command) and ", ".join(sorted(named))):
            yield file, line, name
        elif has_secrets and traces(command):
            yield file, line, "each command with its secrets (set -x)"
        elif has_secrets and command.core in DUMPING and _ends_in_log(step.commands, command):
            yield file, line, "every variable with the secrets"
    if has_secrets and re.search(r"\s-\w*x|xtrace", step.step.shell):
        yield step.step.file, step.step.line, "each command with its secrets (-x)"


def _ends_in_log(commands: list[Command], first: Command) -> bool:
    """Tell whether what a command says, values and all, gets through its pipeline to the log."""
    last = first
    for command in commands[commands.index(first) + 1 :]:
        if last.next and command.fed_by == last.program:
            last = command
            if last.program not in GIVING_ON and not (last.program == "grep" and last.has("-v")):
                return False
    return to_log(last)


def to_log(command: Command) -> bool:
    """Tell whether a command's output is not kept from the log by a redirection."""
    return command.redirected in {"", "/dev/stderr", "/dev/stdout", "/dev/tty"} or (
        "GITHUB_STEP_SUMMARY" in command.redirected
    )


def prints(command: Command) -> bool:
    """Tell whether what a command says ends in a log."""
    shows = command.program in SHOWING or (command.program == "cat" and command.fed_by == "<<")
    is_plain = command.next in {"", "tee", "cat"} and "add-mask" not in command.text
    return shows and is_plain and to_log(command)


def shown(command: Command) -> str:
    """Return the secret that a command prints, empty where it prints none."""
    if not prints(command):
        return ""
    if SECRET_REFERENCE.search(command.text):
        return "a secret"
    arguments = command.arguments if command.program == "printenv" else ()
    return next((name for name in (*command.variables, *arguments) if is_secret_name(name)), "")


def traces(command: Command) -> bool:
    """Tell whether a command makes the shell print what it runs."""
    if command.program == "set":
        plain = any(re.fullmatch(r"-\w*x\w*", word) for word in command.arguments)
        return plain or ("xtrace" in command.arguments and "-o" in command.arguments)
    return command.program in shell.SHELLS and any(
        re.fullmatch(r"-\w*x\w*", word) for word in command.arguments[:2]
    )


def unmasked_logs(project: Project) -> Iterator[Finding]:
    """Yield where logging is set up without anything that masks secrets."""
    setups = [
        file
        for file in project.python_files
        if file.startswith("app/") and LOG_SETUP.search(project.text(file))
    ]
    judged = False
    for file in setups:
        tree = python_code.parse(project.text(file))
        for line, masked in python_code.configured_processors(tree) if tree else ():
            judged = True
            if not masked:
                yield Finding(
                    file,
                    line,
                    "these log processors mask no secret.",
                    "put the masking processor back.",
                )
    if (
        not judged
        and setups
        and not any(python_code.MASKING.search(project.text(one)) for one in setups)
    ):
        line = project.line_of(setups[0], LOG_SETUP.pattern)
        yield Finding(
            setups[0], line, "logging is set up without masking secrets.", "add a filter that does."
        )


@guards("S7.3")
def test_revert_script_is_ready(project: Project) -> Iterator[Finding]:
    # Given the scripts that are named after going back
    named = [
        file for file in project.files if BACK_SCRIPT.fullmatch(file) and is_script(project, file)
    ]
    working = [file for file in named if goes_back_to_former(project, file)]
    ready = [file for file in working if is_executable(project, file)]
    # When one is looked for that can be run and goes back
    fix = 'bring it back: exec python3 -m deploy.release rollback "$@", mode 755.'
    # Then there is one
    if not ready:
        file = (working or named or ["deploy/revert.sh"])[0]
        if working:
            yield Finding(
                file, 1, "the revert script cannot be executed.", f"chmod +x {file}, and commit it."
            )
        elif named:
            yield Finding(file, 1, "the revert script goes back to no former version.", fix)
        else:
            yield Finding(file, 1, "there is no revert script.", fix)
    # and a workflow offers it to a person
    offered = [
        one
        for one in deliveries(project)
        if one.is_rollback and one.run.event.name == "workflow_dispatch"
    ]
    if not offered:
        yield Finding(
            ".github/workflows/rollback.yml",
            1,
            "no workflow goes back when a person starts it.",
            "add one with workflow_dispatch that runs the revert script.",
        )


def is_script(project: Project, file: str) -> bool:
    """Tell whether a file is a program outside the tests."""
    return not in_tests(file) and (file in project.scripts or file.endswith(".py"))


def goes_back_to_former(project: Project, file: str) -> bool:
    """Tell whether a script goes back, and the module that it calls can."""
    text = project.text(file)
    if file.endswith(".py"):
        return bool(re.search(r"rollback|roll_back|undo", text))
    for command in project.resolved(shell.commands(text, file=file), "", {}):
        if command.starts_with("docker", "stack", "deploy"):
            return True
        if goes_back(command):
            module = command.program.replace(".", "/") + ".py"
            is_tool = TOOL.match(command.program) is not None
            return not is_tool or bool(re.search(r"[\"']rollback[\"']", project.text(module)))
    return False
