"""Section 2: branches. The ruleset that ``make protect-main`` sends to GitHub protects main."""

import fnmatch
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tests.guideline import shell
from tests.guideline.ci import lints, runs_pytest
from tests.guideline.clauses import guards
from tests.guideline.findings import BrokenFileError, Finding
from tests.guideline.pipelines import Run, RunningJob
from tests.guideline.project import Project

RULESET = re.compile(r"\.github/rulesets?/[^/]+\.json")
MAIN = "main"
HOME = ".github/rulesets/main.json"
WANTED, OTHERS = ("feature/voice", "fix/upload"), ("my-own-name", "hotfix/voice")
HEAD = re.compile(r"github\.head_ref|GITHUB_HEAD_REF|pull_request\.head\.ref")
# A pull request is approved by a program: the command, a call of the API, an action.
APPROVING = re.compile(r"\bgh pr review\b.*\s(?:--approve|-a)\b|\bevent\W+APPROVE\b")
APPROVING_ACTION = re.compile(r"(?i)auto-?approv|approve-pull|approve-pr")
Rules = dict[str, dict[str, Any]]


def rulesets(project: Project, branch: str = MAIN) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the active rulesets of a branch with their files."""
    for file in project.matching(RULESET):
        try:
            found = json.loads(project.text(file))
        except json.JSONDecodeError as error:
            raise BrokenFileError(file, error.lineno, f"this is no JSON: {error.msg}.") from None
        names = (found.get("conditions") or {}).get("ref_name") or {}
        included, excluded = (_names(names.get(key), branch) for key in ("include", "exclude"))
        is_active = found.get("enforcement") == "active" and found.get("target") == "branch"
        if is_active and included and not excluded:
            yield file, found


def _names(patterns: list[str] | None, branch: str) -> bool:
    """Tell whether one of a ruleset's patterns names a branch."""
    ref = f"refs/heads/{branch}"
    every = {"~ALL", "~DEFAULT_BRANCH"} if branch == MAIN else {"~ALL"}
    return any(one in every or fnmatch.fnmatchcase(ref, one) for one in patterns or ())


def rules_of_main(project: Project) -> tuple[str, Rules]:
    """Return the file and the rules of main, all rulesets together."""
    rules: Rules = {}
    file = HOME
    for name, found in rulesets(project):
        file = name
        rules |= {rule["type"]: rule.get("parameters") or {} for rule in found.get("rules", ())}
    return file, rules


def required_checks(rules: Rules) -> set[str]:
    """Return the names of the checks that a merge into main waits for."""
    checks = rules.get("required_status_checks", {}).get("required_status_checks") or ()
    return {check.get("context", "") for check in checks}


def is_required(run: Run, job: RunningJob, required: set[str]) -> bool:
    """Tell whether a merge waits for a job, or for another that needs it."""
    waiting = [one for one in run.jobs.values() if _named(one.check, required)]
    return job in waiting or any(job in run.before(one.key) for one in waiting)


def _named(check: str, required: set[str]) -> bool:
    """Tell whether a check has one of the names; a matrix adds its values in brackets."""
    pattern = re.sub(r"\\\$\\\{\\\{.*?\\\}\\\}", ".*", re.escape(check))
    return any(re.fullmatch(rf"{pattern}(?: \(.*\))?", name) for name in required)


@guards("S2.1")
def test_main_is_protected(project: Project) -> Iterator[Finding]:
    # Given the rules of main and the jobs of a pull request
    file, rules = rules_of_main(project)
    required = required_checks(rules)
    runs = project.pipelines.on("pull_request")
    # When they are held against each other
    line = project.line_of(file, r'"rules"')
    # Then nobody deletes main or forces a push
    for kind, what in (("deletion", "can be deleted"), ("non_fast_forward", "takes forced pushes")):
        if kind not in rules:
            yield Finding(
                file,
                line,
                f"main {what}.",
                f'add {{"type": "{kind}"}} to an active ruleset of main.',
            )
    # and a merge waits for lint and tests
    for what, does in (("lints", lints), ("tests", runs_pytest)):
        jobs = [(run, job) for run in runs for job in run.jobs.values() if does(job)]
        if jobs and not any(is_required(run, job, required) for run, job in jobs):
            names = " or ".join(sorted({repr(job.check) for _, job in jobs}))
            yield Finding(
                file,
                project.line_of(file, r'"required_status_checks"'),
                f"a pull request can be merged while the job that {what} is red.",
                f"name {names} in required_status_checks.",
            )
    yield from bypasses(project, "always")


def bypasses(project: Project, mode: str) -> Iterator[Finding]:
    """Yield who needs not keep the rules of main."""
    for file, found in rulesets(project):
        if any(
            actor.get("bypass_mode", "always") == mode for actor in found.get("bypass_actors") or ()
        ):
            line = project.line_of(file, r'"bypass_actors"')
            yield Finding(
                file, line, "somebody may pass by the rules of main.", "empty bypass_actors."
            )


@guards("S2.2")
def test_other_branch_names_are_refused(project: Project) -> Iterator[Finding]:
    # Given the rules of main and the jobs of a pull request
    file, rules = rules_of_main(project)
    required = required_checks(rules)
    # When each job that looks at the branch's name judges one that is not allowed
    jobs = [
        (run, job)
        for run in project.pipelines.on("pull_request")
        for job in run.jobs.values()
        if judges_names(job)
    ]
    # Then one of them, on which the merge waits, refuses it
    if any(_refuses_names(one) for _, one in rulesets(project, OTHERS[0])):
        return
    if not jobs:
        yield Finding(
            ".github/workflows/ci.yml",
            1,
            f"nothing refuses a pull request from a branch named {' or '.join(OTHERS)}.",
            "add a job that fails unless github.head_ref begins with feature/ or fix/.",
        )
    elif not any(is_required(run, job, required) for run, job in jobs):
        yield Finding(
            file,
            project.line_of(file, r'"required_status_checks"'),
            "a pull request can be merged while the job that checks the branch's name is red.",
            f"name {jobs[0][1].check!r} in required_status_checks.",
        )


def _refuses_names(ruleset: dict[str, Any]) -> bool:
    """Tell whether a ruleset lets nobody make a branch of another name."""
    given = [
        rule.get("parameters") or {}
        for rule in ruleset.get("rules", ())
        if rule["type"] == "branch_name_pattern"
    ]
    return any(
        one.get("operator") == "regex"
        and not one.get("negate")
        and _is_right(partial(_finds, str(one.get("pattern"))))
        for one in given
    )


def _finds(pattern: str, name: str) -> bool:
    """Tell whether a regular expression finds something in a name; a wrong one refuses nothing."""
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return True


def _is_right(accepts: Callable[[str], bool]) -> bool:
    """Tell whether the names of the guideline are accepted, and no other."""
    return all(map(accepts, WANTED)) and not any(map(accepts, OTHERS))


def judges_names(job: RunningJob) -> bool:
    """Tell whether a job lets feature/ and fix/ pass and refuses another name."""
    for step in job.steps:
        given = " ".join(step.step.given.values())
        script = step.step.run or ""
        sees_name = HEAD.search(" ".join([script, given, *step.env.values()]))
        if step.step.uses and "branch" in step.step.uses and "feature" in given and "fix" in given:
            return step.fatal
        if sees_name and step.fatal and _refuses(script, step.commands):
            return True
    return False


def _refuses(script: str, commands: list[shell.Command]) -> bool:
    if any(_is_right(partial(_accepts, arms)) for arms in shell.cases(script)):
        return True
    ends = any(one.program in {"exit", "return", "false", "grep"} for one in commands)
    for quoted in re.findall(r"(?:=~|grep\s+-\w*[EP]\w*)\s*(\S+)", script):
        if ends and _is_right(partial(_finds, quoted.strip("'\""))):
            return True
    # A script in another language, or one that compares word by word.
    is_plain = not shell.cases(script) and "=~" not in script and "grep" not in script
    refusal = re.search(r"exit\(?\s*[1-9]|setFailed|raise|return 1|throw|assert", script)
    return bool(is_plain and refusal and "feature/" in script and "fix/" in script)


def _accepts(arms: list[tuple[list[str], bool]], name: str) -> bool:
    for patterns, fails in arms:
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            return not fails
    return True


@guards("S2.3")
def test_main_takes_reviewed_pull_requests(project: Project) -> Iterator[Finding]:
    # Given the rules of main
    file, rules = rules_of_main(project)
    rule = rules.get("pull_request")
    # When its rule of pull requests is looked at, Then there is one, and it asks for a review
    if rule is None:
        line = project.line_of(file, r'"rules"')
        yield Finding(
            file, line, "main takes pushes without a pull request.", 'add {"type": "pull_request"}.'
        )
    elif int(rule.get("required_approving_review_count") or 0) < 1:
        line = project.line_of(file, "required_approving_review_count")
        yield Finding(
            file,
            line,
            "a pull request needs no review.",
            "set required_approving_review_count to 1 or more.",
        )
    yield from bypasses(project, "always")
    yield from approvals(project)


def approvals(project: Project) -> Iterator[Finding]:
    """Yield where a workflow approves pull requests by itself."""
    jobs = (job for run in project.pipelines.runs for job in run.jobs.values())
    for step in (step for job in jobs for step in job.steps):
        texts = [*(one.text for one in step.commands), *step.step.given.values()]
        if APPROVING_ACTION.search(step.step.uses) or any(map(APPROVING.search, texts)):
            yield Finding(
                step.step.file,
                step.step.line,
                "this approves pull requests in a person's place.",
                "take the step away: a review is a person's.",
            )
