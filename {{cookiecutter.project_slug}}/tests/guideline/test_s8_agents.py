"""Section 8: what agents, and everybody else, must keep to."""

import posixpath
import re
from collections.abc import Iterator

from tests.guideline import python_code, secret_places
from tests.guideline.clauses import guards
from tests.guideline.deliveries import PRODUCTION, TOOL, Delivery, deliveries, deploys, goes_back
from tests.guideline.findings import Finding
from tests.guideline.project import Project
from tests.guideline.shell import Command

RULES = "AGENTS.md"
# What AGENTS.md must speak of, in either language.
NO_HARDCODING = (r"(?i)api[ -]?key|\bkeys?\b|API 키|키", r"(?i)password|비밀번호", r"\$\{\w+\}")
VOLUME_CHECK = (r"data/", r"static/", r"(?i)volume|볼륨|persistent|영구")
DRY_RUN = (r"(?i)approv|consent|승인|동의", r"(?i)server|target|서버|대상", r"(?i)version|버전")
FOLDERS = {"DATA_DIR": "data", "STATIC_DIR": "static"}
ANSWERING = {"yes", "echo", "printf", "cat", "<<"}
SHOWN_BEFORE = re.compile(
    r"\bplan\b|\bdry-run\b|\bdiff\b|--check\b|\bstack config\b|\bcompose\b.*\bconfig\b"
    r"|GITHUB_STEP_SUMMARY"
)


def unsaid(project: Project, patterns: tuple[str, ...], what: str) -> Iterator[Finding]:
    """Yield a finding where AGENTS.md does not say something; one paragraph must hold all of it."""
    paragraphs = re.split(r"\n\s*\n|\n(?=\s*(?:\d+\.|[-*#]) )", project.text(RULES))
    if not any(all(re.search(pattern, text) for pattern in patterns) for text in paragraphs):
        yield Finding(RULES, 1, f"agents are not told: {what}", "write it into this file.")


@guards("S8.1")
def test_nothing_is_hardcoded(project: Project) -> Iterator[Finding]:
    # Given what says how the service is built, deployed and set
    for file in project.files:
        if secret_places.is_configuration(file) and not secret_places.EXAMPLE.fullmatch(file):
            # When its values are looked at, Then none is a secret
            for line, name in secret_places.secrets_in(project, file):
                yield Finding(
                    file, line, f"{name} is a key or password as text.", "write ${ENV_VAR}."
                )
    # and agents are told so
    yield from unsaid(project, NO_HARDCODING, "no key and no password as text, but ${ENV_VAR}.")


@guards("S8.2")
def test_data_and_answers_are_on_persistent_volumes(project: Project) -> Iterator[Finding]:
    # Given what is deployed
    for deployment in project.deployments:
        for service in project.serving(deployment):
            for setting, folder in FOLDERS.items():
                # When the mounts of the folders are looked for whose files must last
                place = project.folder_in_image(service, setting, folder)
                place = f"{place}/tts" if folder == "static" else place
                mount = service.mount_at(place)
                # Then each is a volume or a folder of the server
                if mount is None or mount.kind not in {"volume", "bind"}:
                    where = (mount.file, mount.line) if mount else service.place_of("volumes")
                    what = f"{mount.kind} storage" if mount else "no volume"
                    yield Finding(
                        *where,
                        f"{place} of the service {service.name} is on {what}: files get lost.",
                        f"mount a named volume or a folder of the server at {place}.",
                    )
    # and agents are told so
    yield from unsaid(project, VOLUME_CHECK, "data/ and static/ are on persistent volumes.")


@guards("S8.3")
def test_a_person_approves_what_was_shown(project: Project) -> Iterator[Finding]:
    # Given the deployments to production
    for one in deliveries(project):
        if PRODUCTION in one.targets:
            # When their jobs are looked at, Then an environment's reviewers approve them
            if not one.job.environment:
                yield Finding(
                    one.job.job.file,
                    one.job.job.line,
                    "production is deployed without anybody's approval.",
                    "give the job the environment production, which has reviewers.",
                )
            # and target and version were shown in a job before
            if not one.is_rollback and not any(shows_plan(command) for command in one.before()):
                yield Finding(
                    *one.place,
                    "production is deployed without target and version being shown before.",
                    "run python3 -m deploy.release plan in a job that this one needs.",
                )
        yield from answered_in_workflow(one)
    # and nothing answers in the person's place
    for command in project.all_commands:
        yield from answered(command)
    yield from unasked(project)
    # and agents are told so
    yield from unsaid(project, DRY_RUN, "show server and version, and wait for an approval.")


def shows_plan(command: Command) -> bool:
    """Tell whether a command shows what a deployment would do."""
    text = f"{command.text} {command.redirected}"
    return bool(SHOWN_BEFORE.search(text)) and not deploys(command)


def answered_in_workflow(one: Delivery) -> Iterator[Finding]:
    """Yield a finding where a job approves by itself, with no environment to hold it back."""
    if (
        one.command
        and one.command.has("--approved-by", "--yes", "--auto-approve")
        and not one.job.environment
    ):
        yield Finding(
            *one.place,
            "this approves in a person's place.",
            "give the job an environment with reviewers.",
        )


def answered(command: Command) -> Iterator[Finding]:
    """Yield a finding where a command's question is answered by another."""
    if not (deploys(command) or goes_back(command)):
        return
    by_program = command.fed_by in ANSWERING
    by_option = not command.file.startswith(".github/") and command.has(
        "--approved-by", "--yes", "-y"
    )
    if by_program or by_option:
        yield Finding(
            command.file,
            command.line,
            "this answers in a person's place.",
            "let the person type the version.",
        )


def unasked(project: Project) -> Iterator[Finding]:
    """Yield a finding where the release tool takes an approver, and asks for none without."""
    for file in project.python_files:
        if TOOL.match(file.removesuffix(".py").replace("/", ".")):
            beside = {
                posixpath.basename(one).removesuffix(".py"): tree
                for one in project.python_files
                if posixpath.dirname(one) == posixpath.dirname(file)
                and (tree := python_code.parse(project.text(one)))
            }
            takes = "--approved-by" in project.text(file)
            if takes and not python_code.asks(beside, "approved_by"):
                line = project.line_of(file, r"approved_by\b.*\bor\b|approved_by")
                yield Finding(
                    file,
                    line,
                    "a release that names no approver asks nobody.",
                    "let a person type the version: input().",
                )
