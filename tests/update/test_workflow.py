"""The workflow that proposes updates, run: a pull request, or nothing, and never a push to main."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.update import team
from tests.update.conftest import ANSWERS, Generated
from tests.update.older import OLD_GUIDELINE, OLD_VERSION, Template
from tests.update.project import Project
from tools.delivery.workflow_runner import SYSTEM_PATH, Run, WorkflowRunner

NEW_GUIDELINE = "2025.11.27"
TOKEN = "token-8c1f0d2e7b"  # opens nothing
# A gh that writes down what it is asked, and the text of a pull request.
GH = """\
#!/bin/sh
printf '%s\\n' "$*" >> "$GH_CALLS"
while [ $# -gt 0 ]; do
  if [ "$1" = --body-file ]; then cp "$2" "$GH_CALLS.body"; fi
  shift
done
"""


@dataclass(frozen=True)
class Site:
    """A project's repository on a hub, with the workflow's runner and a gh."""

    runner: WorkflowRunner
    programs: Path
    calls: Path

    def run(self, event: str = "workflow_dispatch", **inputs: str) -> Run:
        """Run the workflow."""
        environment = {"PATH": f"{self.programs}:{SYSTEM_PATH}", "GH_CALLS": str(self.calls)}
        secrets = {"TEMPLATE_TOKEN": TOKEN}
        return self.runner.run(
            "template-update.yml", event, inputs=inputs, secrets=secrets, environment=environment
        )

    @property
    def requests(self) -> list[str]:
        """Return how gh was asked for pull requests."""
        asked = self.calls.read_text("utf-8").splitlines() if self.calls.exists() else []
        return [call for call in asked if call.startswith("pr ")]

    @property
    def body(self) -> str:
        """Return the text of the last pull request."""
        return self.calls.with_name(f"{self.calls.name}.body").read_text("utf-8")

    @property
    def origin(self) -> Project:
        """Return the repository on the hub."""
        return Project(self.runner.origin, {"PATH": SYSTEM_PATH})


New = Callable[..., Site]


@pytest.fixture
def new(generated: Generated, template: Template, tmp_path: Path) -> New:
    """Return a function that puts a project with a team's work onto the hub."""

    def one(*edits: team.Edit, tag: str = "") -> Site:
        project = generated(ANSWERS, tag or template.old_tag).copy(tmp_path / "talker")
        team.work(project.root, edits)
        programs = tmp_path / "bin"
        programs.mkdir()
        (programs / "gh").write_text(GH, "utf-8")
        (programs / "gh").chmod(0o755)
        runner = WorkflowRunner(tmp_path / "runner", project.root)
        return Site(runner, programs, tmp_path / "gh")

    return one


def branches(site: Site) -> dict[str, str]:
    """Return the branches on the hub, with their commits."""
    listed = site.origin.git("for-each-ref", "--format=%(refname:short) %(objectname)")
    return dict(line.split() for line in listed.splitlines())


def test_update_becomes_a_pull_request(new: New, template: Template) -> None:
    # Given an old project with a change of its own, on a hub
    site = new(team.add_a_section)
    main = branches(site)["main"]
    # When the week's run comes
    run = site.run("schedule")
    # Then a branch is pushed, one commit on top of main, which stays where it is
    assert run.status == 0, run.log[-6000:]
    branch = f"feature/template-{template.new_version}"
    pushed = branches(site)
    assert pushed.keys() == {"main", branch}
    assert pushed["main"] == main
    assert site.origin.git("rev-parse", f"{branch}^") == main
    # And a pull request is opened for it, ready for review
    (request,) = site.requests
    assert request.startswith(f"pr create --base main --head {branch} ")
    assert template.new_version in request
    assert "conflict" not in request
    assert "--draft" not in request
    # And it has the versions, and the change by clause, without the team's own
    for version in (OLD_VERSION, template.new_version, OLD_GUIDELINE, NEW_GUIDELINE):
        assert version in site.body
    assert "S4.3" in site.body.partition("diff --git a/Dockerfile")[0]
    assert "+    && apt-get install -y --no-install-recommends ffmpeg=7:*" in site.body
    assert "+They hum." not in site.body
    # And the token is nowhere
    assert TOKEN not in run.log + site.body + "".join(site.requests)
    # When the workflow runs again before the request is merged
    again = site.run()
    # Then there is no second one, and the branch is as it was
    assert again.status == 0, again.log[-6000:]
    assert len(site.requests) == 1
    assert branches(site) == pushed


def test_conflicts_are_told(new: New, template: Template) -> None:
    # Given a project whose team has changed the lines that the template has changed
    site = new(team.install_a_program, team.write_rules_for_agents)
    # When somebody runs the workflow
    run = site.run()
    # Then the request's title says that there are conflicts, and its text where
    assert run.status == 0, run.log[-6000:]
    (request,) = site.requests
    assert "(conflicts)" in request
    assert "--draft" in request
    for path in ("`Dockerfile`", "`AGENTS.md`"):
        assert path in site.body.partition("### ")[0]
    # And the branch has the files with git's marks
    branch = f"feature/template-{template.new_version}"
    marked = site.origin.git("grep", "--name-only", "^<<<<<<< ", branch).splitlines()
    assert marked == [f"{branch}:AGENTS.md", f"{branch}:Dockerfile"]


def test_nothing_newer_is_nothing_to_do(new: New, template: Template) -> None:
    # Given a project of the newest release
    site = new(tag=template.new_tag)
    before = branches(site)
    # When the workflow runs
    run = site.run("schedule")
    # Then it ends well, without a branch and without a request
    assert run.status == 0, run.log[-6000:]
    assert branches(site) == before
    assert not site.requests


def test_answers_are_taken_as_they_are(new: New, template: Template) -> None:
    # Given a project of the newest release
    site = new(tag=template.new_tag)
    before = branches(site)
    # When the workflow is started with answers that a shell would run
    run = site.run(answers="device=gpu $(touch pwned) ; touch pwned")
    # Then it is red, with the tool's sentence, and has done nothing
    assert run.jobs == {"Merge the template": "failure"}
    assert "is no name=value" in run.log
    assert branches(site) == before
    assert not site.requests
    # And with good ones, the request changes the device
    run = site.run(answers="device=gpu")
    assert run.status == 0, run.log[-6000:]
    assert len(site.requests) == 1
    assert "nvidia/cuda:12" in site.body
