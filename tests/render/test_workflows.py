"""The workflows of every variant: what their linters say, and what no local runner checks.

nektos/act, which runs them in `tests/delivery`, knows no filters of events, no permissions, no
concurrency and no environments. Here the files are read for those.
"""

from __future__ import annotations

import json
import re
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Answers, Render, name_of, product_of

VARIANTS = product_of("device", "stt_engine", "llm_engine", "tts_engine")
# The answers that the files of .github depend on.
DIFFERENT = product_of("llm_engine", "tts_engine")
# Every action that may be used: its newest release when this was written, by commit.
PINS = {
    "actions/checkout": ("3d3c42e5aac5ba805825da76410c181273ba90b1", "v7.0.1"),
    "actions/setup-python": ("5fda3b95a4ea91299a34e894583c3862153e4b97", "v7.0.0"),
    "aquasecurity/trivy-action": ("ed142fd0673e97e23eac54620cfb913e5ce36c25", "v0.36.0"),
    "docker/build-push-action": ("53b7df96c91f9c12dcc8a07bcb9ccacbed38856a", "v7.3.0"),
    "docker/login-action": ("4907a6ddec9925e35a0a9e82d7399ccc52663121", "v4.1.0"),
    "docker/setup-buildx-action": ("37fe631027851001ddb9b187196cc803df7f5f0e", "v4.3.0"),
    "sigstore/cosign-installer": ("6f9f17788090df1f26f669e9d70d6ae9567deba6", "v4.1.2"),
}
DISPATCH_VERSION = {
    "version": {
        "description": "A version that has a git tag, for example v1.2.3",
        "required": True,
        "type": "string",
    }
}
MAIN = {"branches": ["main"]}
TRIGGERS: dict[str, dict[str, Any]] = {
    "ci.yml": {"push": MAIN, "pull_request": MAIN, "workflow_call": {}},
    "cd-staging.yml": {"push": MAIN},
    "cd-production.yml": {
        "push": {"tags": ["v*"]},
        "workflow_dispatch": {"inputs": DISPATCH_VERSION},
    },
    "rollback.yml": {
        "workflow_dispatch": {
            "inputs": {
                "environment": {
                    "description": "Where",
                    "required": True,
                    "type": "choice",
                    "options": ["staging", "production"],
                },
                "version": {
                    "description": "To which version; empty for the one before",
                    "required": False,
                    "type": "string",
                },
            }
        }
    },
    "template-update.yml": {
        "schedule": [{"cron": "17 5 * * 1"}],
        "workflow_dispatch": {
            "inputs": {
                "ref": {
                    "description": "A tag or commit of the template; empty for the newest release",
                    "required": False,
                    "type": "string",
                },
                "answers": {
                    "description": "Answers that change, such as device=gpu",
                    "required": False,
                    "type": "string",
                },
            }
        },
    },
}
READ = {"contents": "read"}
PERMISSIONS: dict[str, dict[str, str]] = {
    "ci.yml test": READ,
    "ci.yml branch-name": {},
    "cd-staging.yml ci": READ,
    "cd-staging.yml build": {**READ, "packages": "write", "id-token": "write"},
    "cd-staging.yml deploy": {**READ, "packages": "write"},
    "cd-production.yml promote": {**READ, "packages": "write"},
    "cd-production.yml plan": {**READ, "packages": "read"},
    "cd-production.yml deploy": {**READ, "packages": "read"},
    "rollback.yml rollback": {**READ, "packages": "read"},
    "template-update.yml update": {"contents": "write", "pull-requests": "write"},
}
# Which job comes when, in which environment (True: it counts as a deployment), in which queue.
ORDER: dict[str, tuple[Any, tuple[str, bool] | None, str | None]] = {
    "ci.yml test": (None, None, None),
    "ci.yml branch-name": (None, None, None),
    "cd-staging.yml ci": (None, None, None),
    "cd-staging.yml build": ("ci", ("staging", False), None),
    "cd-staging.yml deploy": ("build", ("staging", True), "deploy-staging"),
    "cd-production.yml promote": (None, ("production-plan", False), None),
    "cd-production.yml plan": ("promote", ("production-plan", False), None),
    "cd-production.yml deploy": (["promote", "plan"], ("production", True), "deploy-production"),
    "rollback.yml rollback": (None, ("${{ inputs.environment }}", True), None),
    "template-update.yml update": (None, ("template-update", False), None),
}
QUEUES = {
    "ci.yml": "ci-${{ github.workflow }}-${{ github.ref }}",
    "cd-staging.yml": "cd-staging",
    "cd-production.yml": "cd-production-${{ inputs.version || github.ref_name }}",
    "rollback.yml": "deploy-${{ inputs.environment }}",
    "template-update.yml": "template-update",
}
# Section 3 of the guideline: the steps of CI, in its order.
CI_STEPS = [
    ("Set up Python", None),
    ("Install system packages (audio, AI)", None),
    ("Install dependencies", "make install"),
    ("Lint with ruff", "make lint"),
    ("Hold the project against the deployment guideline", "make guideline"),
    ("Test with pytest", "make test"),
    ("Look for hard-coded keys", "make scan"),
]
RELEASE_MINUTES = 180
GITHUB_ACTIONS_APP = 15368

Workflow = dict[Any, Any]


@pytest.fixture(scope="module")
def project(render: Render) -> Path:
    """Return a project; what is read of it here, all variants have in common."""
    return render({"llm_engine": "openai-compatible", "tts_engine": "openai-compatible"})


@pytest.fixture(scope="module")
def workflows(project: Path) -> dict[str, Workflow]:
    """Return its workflows by file name. YAML 1.1 reads the key ``on`` as True."""
    files = sorted((project / ".github" / "workflows").iterdir())
    return {file.name: yaml.safe_load(file.read_text("utf-8")) for file in files}


def jobs(workflows: dict[str, Workflow]) -> Iterator[tuple[str, Workflow]]:
    """Yield every job as ``file job`` and its content."""
    for name, workflow in workflows.items():
        for job, content in workflow["jobs"].items():
            yield f"{name} {job}", content


def scripts(project: Path) -> Iterator[tuple[str, str]]:
    """Yield the script of every step of workflows and actions, by the step's name."""
    for file in sorted((project / ".github").rglob("*.yml")):
        content = yaml.safe_load(file.read_text("utf-8"))
        parts = [*content.get("jobs", {}).values(), content.get("runs", {})]
        for step in (step for part in parts for step in part.get("steps", ())):
            if "run" in step:
                yield f"{file.name} {step['name']}", step["run"]


def tool(name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment, which finds its own helpers in PATH."""
    folder = sysconfig.get_path("scripts")
    return subprocess.run(
        [f"{folder}/{name}", *arguments],
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": f"{folder}:/usr/bin:/bin", "HOME": str(cwd), "NO_COLOR": "1"},
    )


@pytest.mark.parametrize("answers", VARIANTS, ids=name_of)
def test_other_answers_change_nothing(answers: Answers, render: Render) -> None:
    # Given any variant, and one that has just its language model and voice
    keys = ("llm_engine", "tts_engine")
    variant, plain = render(answers), render({key: answers[key] for key in keys})
    # When the files of .github are compared
    files = [
        {file.relative_to(one): file.read_bytes() for file in one.rglob(".github/**/*.*")}
        for one in (variant, plain)
    ]
    # Then they are the same
    assert files[0] == files[1]
    assert len(files[0]) >= 7


@pytest.mark.parametrize("answers", DIFFERENT, ids=name_of)
def test_zizmor_as_an_auditor_finds_nothing(answers: Answers, render: Render) -> None:
    # Given a project's workflows and actions
    project = render(answers)
    # When zizmor reads them at its strictest, with nothing left out
    strict = ["--persona=auditor", "--no-ignores", "--no-config", "--strict-collection"]
    done = tool("zizmor", "--offline", *strict, ".github", cwd=project)
    # Then it has nothing to say
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No findings" in done.stdout


@pytest.mark.parametrize("answers", DIFFERENT, ids=name_of)
def test_actionlint_and_shellcheck_find_nothing(answers: Answers, render: Render) -> None:
    # Given a project's workflows, their local actions and the scripts in them
    project = render(answers)
    (project / ".git").mkdir(exist_ok=True)  # that is how it knows where the project begins
    # When actionlint reads them
    done = tool("actionlint", "-no-color", cwd=project)
    (project / ".git").rmdir()
    # Then it has nothing to say
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stdout


@pytest.mark.parametrize("answers", DIFFERENT, ids=name_of)
def test_schemas_hold(answers: Answers, render: Render) -> None:
    # Given a project's workflows and actions
    folder = render(answers) / ".github"
    # When each is held against the published schema
    for schema, pattern in (("workflows", "workflows/*.yml"), ("actions", "actions/*/action.yml")):
        files = [str(file) for file in folder.glob(pattern)]
        check = ("--builtin-schema", f"vendor.github-{schema}", *files)
        done = tool("check-jsonschema", *check, cwd=folder)
        # Then it is valid
        assert files
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("answers", DIFFERENT, ids=name_of)
def test_keys_of_other_engines_are_not_named(answers: Answers, render: Render) -> None:
    # Given a project
    project = render(answers)
    files = ["cd-staging.yml", "cd-production.yml"]
    texts = [(project / ".github/workflows" / name).read_text("utf-8") for name in files]
    texts.append((project / "deploy/secrets.toml").read_text("utf-8"))
    # When its files are searched for the keys of engines that ask a server
    # Then they name just those of its own
    for answer, key in (("llm_engine", "LLM_API_KEY"), ("tts_engine", "TTS_API_KEY")):
        named = {key in text for text in texts}
        assert named == {answers[answer] == "openai-compatible"}


def test_every_action_is_pinned_by_its_commit(project: Path) -> None:
    # Given every line that uses an action
    files = sorted((project / ".github").rglob("*.yml"))
    lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
    uses = [line.split("uses:", 1)[1].strip() for line in lines if re.search(r"\buses:", line)]
    # When it is read
    for use in uses:
        # Then it is of this project, or one of the table by its commit, with its tag in a comment
        if use.startswith("$/"):
            assert (project / use[2:]).exists()
            continue
        match = re.fullmatch(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40}) # (v[0-9.]+)", use)
        assert match, use
        assert PINS[match[1]] == (match[2], match[3])
    assert {use.partition("@")[0] for use in uses if "@" in use} == set(PINS)


def test_triggers_are_those_of_the_guideline(workflows: dict[str, Workflow]) -> None:
    # Given the workflows, When what starts them is read, Then it is what sections 3 and 5 say
    assert {name: workflow[True] for name, workflow in workflows.items()} == TRIGGERS


def test_every_job_has_the_least_permissions(workflows: dict[str, Workflow]) -> None:
    # Given the workflows
    # When their permissions are read
    # Then the workflow itself gives none, and each job what it needs
    assert all(workflow["permissions"] == {} for workflow in workflows.values())
    assert {name: job["permissions"] for name, job in jobs(workflows)} == PERMISSIONS


def test_jobs_come_in_order_each_in_its_environment(workflows: dict[str, Workflow]) -> None:
    # Given the jobs
    found: dict[str, tuple[Any, tuple[str, bool] | None, str | None]] = {}
    for name, job in jobs(workflows):
        # When what they wait for, their environment and their queue are read
        place = job.get("environment")
        environment = (place["name"], place.get("deployment", True)) if place else None
        queue = job.get("concurrency")
        found[name] = (job.get("needs"), environment, queue and queue["group"])
    # Then nothing is deployed without green CI, and nothing to production without its reviewers
    assert found == ORDER


def test_a_deployment_is_never_cancelled_nor_pushed_out(workflows: dict[str, Workflow]) -> None:
    # Given every queue
    queues = {name: workflow["concurrency"] for name, workflow in workflows.items()}
    assert {name: queue["group"] for name, queue in queues.items()} == QUEUES
    queues |= {name: job["concurrency"] for name, job in jobs(workflows) if "concurrency" in job}
    for name, queue in queues.items():
        # When those that deployments stand in are read
        # Then what runs is not cancelled, and what waits is kept
        if name != "ci.yml":
            assert queue["cancel-in-progress"] is False
        if queue["group"].startswith("deploy-"):
            assert queue["queue"] == "max"
    # And CI of a branch gives way to the next push, but not that of main
    assert queues["ci.yml"]["cancel-in-progress"] == "${{ github.ref != 'refs/heads/main' }}"


def test_every_job_ends_in_time(workflows: dict[str, Workflow]) -> None:
    # Given the jobs that run on a machine, When their limits are read, Then each has one
    own = {name: job for name, job in jobs(workflows) if "uses" not in job}
    limits = {name: job["timeout-minutes"] for name, job in own.items()}
    # A release is never cut half way: its job has time for the update and for the way back.
    releases = {name for name in limits if name.endswith(("deploy", "rollback"))}
    assert releases
    assert all(limits[name] == RELEASE_MINUTES for name in releases)
    assert all(1 <= limits[name] <= 60 for name in limits.keys() - releases)


def test_no_checkout_keeps_its_token(workflows: dict[str, Workflow]) -> None:
    # Given every checkout, When its inputs are read, Then it leaves no token in the workspace
    steps = [step for _, job in jobs(workflows) for step in job.get("steps", ())]
    checkouts = [step for step in steps if "actions/checkout@" in step.get("uses", "")]
    assert len(checkouts) == 8
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_no_expression_stands_in_a_script(project: Path) -> None:
    # Given the scripts, When they are searched for expressions, Then values come as variables only
    assert [name for name, script in scripts(project) if "${{" in script] == []


def test_ci_has_the_steps_of_the_guideline_in_its_order(workflows: dict[str, Workflow]) -> None:
    # Given CI
    steps = workflows["ci.yml"]["jobs"]["test"]["steps"]
    # When its named steps are read
    named = [(step["name"], step) for step in steps if "name" in step]
    # Then they are the guideline's, in its order
    assert [name for name, _ in named] == [name for name, _ in CI_STEPS]
    for (_, step), (_, command) in zip(named, CI_STEPS, strict=True):
        if command:
            assert step["run"] == command
    assert named[0][1]["with"]["python-version"] == "3.11"
    assert re.search(r"install .*build-essential \$SYSTEM_PACKAGES", named[1][1]["run"])


@pytest.mark.parametrize("tts", ["supertonic", "espeak-ng"])
def test_system_packages_are_those_of_the_voice(tts: str, render: Render) -> None:
    # Given a project, When its names are read, Then ffmpeg is there, and espeak-ng for its voice
    lines = (render({"tts_engine": tts}) / "deploy/project.env").read_text("utf-8").splitlines()
    packages = "ffmpeg espeak-ng" if tts == "espeak-ng" else "ffmpeg"
    assert f'SYSTEM_PACKAGES="{packages}"' in lines


@pytest.mark.parametrize(
    ("registry", "host"),
    [
        ("ghcr.io/my-org", "ghcr.io"),
        ("127.0.0.1:5000/my-org", "127.0.0.1:5000"),
        ("localhost/x", "localhost"),
        ("my-org", "docker.io"),
    ],
)
def test_registry_to_log_in_to(registry: str, host: str, render: Render) -> None:
    # Given a registry and its namespace
    project = render({"registry": registry, "project_slug": "talker"})
    # When the names of the project are read
    lines = (project / "deploy/project.env").read_text("utf-8").splitlines()
    # Then they have the image, and the host that asks for a login
    assert "PROJECT=talker" in lines
    assert f"IMAGE={registry}/talker" in lines
    assert f"REGISTRY={host}" in lines


def test_image_has_sbom_provenance_and_cache(workflows: dict[str, Workflow]) -> None:
    # Given the step that builds
    steps = workflows["cd-staging.yml"]["jobs"]["build"]["steps"]
    builds = [step["with"] for step in steps if "build-push-action@" in step.get("uses", "")]
    scan = next(step["with"] for step in steps if "trivy-action@" in step.get("uses", ""))
    # When its inputs are read
    # Then it is pushed with SBOM and provenance, and caches in the registry
    image = "${{ steps.project.outputs.IMAGE }}"
    assert len(builds) == 1
    assert (builds[0]["push"], builds[0]["sbom"], builds[0]["provenance"]) == (
        True,
        True,
        "mode=max",
    )
    assert builds[0]["tags"] == image + ":sha-${{ github.sha }}"
    assert builds[0]["cache-from"] == f"type=registry,ref={image}:cache"
    assert builds[0]["cache-to"] == f"type=registry,ref={image}:cache,mode=max"
    # And what is scanned and signed is the digest that was pushed
    assert scan["image-ref"] == image + "@${{ steps.build.outputs.digest }}"
    assert (scan["severity"], scan["ignore-unfixed"], scan["exit-code"]) == ("CRITICAL", True, "1")
    names = [step.get("name", "") for step in steps]
    assert names.index("Build and push") < names.index(
        "Scan, and stop at a critical finding that has a fix"
    )
    assert names[-1] == "Sign what has passed the scan"


def test_production_builds_nothing(workflows: dict[str, Workflow]) -> None:
    # Given the workflows that reach production
    for name in ("cd-production.yml", "rollback.yml"):
        text = json.dumps(workflows[name])
        # When they are searched for a build, Then there is none
        assert not re.search(r"build-push|docker build\b|make image", text)


@pytest.mark.parametrize(
    ("branch", "good"),
    [
        ("main", True),
        ("develop", True),
        ("feature/voice-chat", True),
        ("feature/team/voice", True),
        ("fix/한글", True),
        ("feature/", False),
        ("feature", False),
        ("feat/voice", False),
        ("Feature/voice", False),
        ("hotfix/x", False),
        ("main2", False),
        ("x/feature/y", False),
        ("$(touch pwned)", False),
        ("feature/$(touch pwned)`touch pwned`", True),
        ("'; touch pwned; '", False),
    ],
)
def test_branch_names(branch: str, good: bool, project: Path, tmp_path: Path) -> None:
    # Given the name of a branch
    script = dict(scripts(project))["ci.yml Check the name"]
    # When CI's step reads it
    done = bash(script, tmp_path, BRANCH=branch)
    # Then it passes or says in one sentence how branches are named; nothing of the name is run
    assert (done.returncode == 0) is good
    rule = "A branch is named feature/<name>, fix/<name>, develop or main"
    said = f"::error::{rule}, and this one {branch}: rename it."
    assert done.stdout.splitlines() == ([] if good else [said])
    assert not [*tmp_path.iterdir()]


def bash(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a step's script as GitHub does."""
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), **variables},
    )


CONNECTION = {
    "HOST": "ssh://deploy@server.example:2222",
    "KEY": "-----BEGIN OPENSSH PRIVATE KEY-----\r\nbm8ga2V5\r\n-----END OPENSSH PRIVATE KEY-----",
    "KNOWN_HOSTS": "[server.example]:2222 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==",
}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HOST", "", "The variable DEPLOY_HOST is missing in this environment"),
        ("KEY", "", "The secret DEPLOY_SSH_KEY is missing in this environment"),
        ("KNOWN_HOSTS", "", "The secret DEPLOY_KNOWN_HOSTS is missing in this environment"),
        ("HOST", "server.example", "The variable DEPLOY_HOST is no address of the form ssh://"),
        ("HOST", "ssh://a b", "The variable DEPLOY_HOST is no address of the form ssh://"),
    ],
)
def test_connection_names_what_is_missing(
    name: str, value: str, said: str, project: Path, tmp_path: Path
) -> None:
    # Given an environment that lacks a setting
    script = dict(scripts(project))["action.yml Write the keys and ssh's configuration"]
    # When a job connects
    done = bash(script, tmp_path, RUNNER_TEMP=str(tmp_path), **{**CONNECTION, name: value})
    # Then one sentence names it, and no key is written
    assert done.returncode == 1
    assert done.stdout.startswith(f"::error::{said}")
    assert done.stdout.count("\n") == 1
    assert not [*tmp_path.iterdir()]


def test_connection_keeps_keys_to_itself(project: Path, tmp_path: Path) -> None:
    # Given the settings of a server, with a key whose lines end as on Windows
    script = dict(scripts(project))["action.yml Write the keys and ssh's configuration"]
    output = tmp_path / "output"
    files = {"RUNNER_TEMP": str(tmp_path), "GITHUB_OUTPUT": str(output)}
    # When a job connects
    done = bash(script, tmp_path, **files, **CONNECTION)
    assert done.returncode == 0, done.stderr
    # Then key, host key and ssh's configuration are the owner's alone, and nothing is printed
    program = Path(output.read_text("utf-8").strip().removeprefix("ssh="), "ssh")
    folder = program.parent.parent
    modes = {f.relative_to(folder).as_posix(): f.stat().st_mode & 0o777 for f in folder.rglob("*")}
    assert folder.is_relative_to(tmp_path)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert modes == {
        "bin": 0o700,
        "bin/ssh": 0o700,
        "config": 0o600,
        "key": 0o600,
        "known_hosts": 0o600,
    }
    assert not done.stdout
    assert (folder / "key").read_text("utf-8") == CONNECTION["KEY"].replace("\r", "") + "\n"
    # And the ssh that docker will find asks for this host key, with this key alone
    asked = subprocess.run(
        [str(program), "-G", "-p", "2222", "deploy@server.example"],
        check=True,
        capture_output=True,
        text=True,
    )
    options = dict(line.split(" ", 1) for line in asked.stdout.splitlines() if " " in line)
    assert options["identityfile"] == str(folder / "key")
    assert options["userknownhostsfile"] == str(folder / "known_hosts")
    assert options["globalknownhostsfile"] == "/dev/null"
    assert options["stricthostkeychecking"] in {"true", "yes"}
    assert options["identitiesonly"] == "yes"
    assert options["batchmode"] == "yes"


def test_production_asks_for_a_version_that_has_a_tag(project: Path, tmp_path: Path) -> None:
    # Given a repository with a release, and a commit after it
    script = dict(scripts(project))["cd-production.yml Find the commit of the version"]
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (
        "init --quiet",
        "commit --quiet --allow-empty -m one",
        "tag --annotate -m one v1.0.0",
        "commit --quiet --allow-empty -m two",
    ):
        subprocess.run([*git, *command.split()], cwd=tmp_path, check=True)
    log = [*git, "log", "-1", "--skip=1", "--format=%H"]
    commit = subprocess.run(log, cwd=tmp_path, check=True, capture_output=True, text=True)
    output = tmp_path / "output"
    # When its version is asked for, and others that have no tag
    good = bash(script, tmp_path, VERSION="v1.0.0", GITHUB_OUTPUT=str(output))
    bad = {
        version: bash(script, tmp_path, VERSION=version, GITHUB_OUTPUT=str(tmp_path / "none"))
        for version in ("v9.9.9", "main", "HEAD", "v1.0.0; touch pwned")
    }
    # Then its own commit is found; the others are refused in one sentence
    assert good.returncode == 0, good.stderr
    assert output.read_text("utf-8") == f"version=v1.0.0\ncommit={commit.stdout.strip()}\n"
    for version, done in bad.items():
        assert done.returncode == 1
        cure = "name one that exists, or create and push it first."
        assert done.stdout == f"::error::There is no git tag {version}: {cure}\n"
    assert sorted(file.name for file in tmp_path.iterdir()) == [".git", "output"]


def test_ruleset_asks_for_the_checks_that_ci_makes(
    project: Path, workflows: dict[str, Workflow]
) -> None:
    # Given the ruleset of main, and the jobs that a pull request starts
    ruleset = json.loads((project / ".github/rulesets/main.json").read_text("utf-8"))
    rules = {rule["type"]: rule.get("parameters", {}) for rule in ruleset["rules"]}
    checks = [job["name"] for job in workflows["ci.yml"]["jobs"].values()]
    # When it is read
    # Then main takes nothing without a review and these checks, is never rewritten nor deleted
    assert ruleset["target"] == "branch"
    assert ruleset["enforcement"] == "active"
    assert ruleset["bypass_actors"] == []
    assert ruleset["conditions"]["ref_name"] == {"include": ["refs/heads/main"], "exclude": []}
    assert {"deletion", "non_fast_forward", "pull_request", "required_status_checks"} == set(rules)
    assert rules["pull_request"]["required_approving_review_count"] == 1
    assert rules["pull_request"]["dismiss_stale_reviews_on_push"] is True
    required = rules["required_status_checks"]
    assert required["strict_required_status_checks_policy"] is True
    assert required["required_status_checks"] == [
        {"context": name, "integration_id": GITHUB_ACTIONS_APP} for name in checks
    ]


@pytest.mark.parametrize(
    ("existing", "request_line"),
    [
        ("", "--method POST repos/{owner}/{repo}/rulesets"),
        ("42", "--method PUT repos/{owner}/{repo}/rulesets/42"),
    ],
)
def test_one_command_protects_main(
    existing: str, request_line: str, project: Path, tmp_path: Path
) -> None:
    # Given a gh that writes down what it is asked, and whether GitHub has the ruleset already
    gh = tmp_path / "gh"
    gh.write_text(
        '#!/bin/sh\necho "$@" >> "$LOG"\ncase "$*" in *--jq*) echo "$EXISTING" ;; esac\n', "utf-8"
    )
    gh.chmod(0o755)
    variables = {"LOG": str(tmp_path / "log"), "EXISTING": existing}
    # When main is protected
    done = subprocess.run(
        ["make", "protect-main"],
        cwd=project,
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", **variables},
    )
    # Then the ruleset is made, or brought up to date
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "log").read_text("utf-8").splitlines()
    assert asked[1] == f"api --silent {request_line} --input .github/rulesets/main.json"
