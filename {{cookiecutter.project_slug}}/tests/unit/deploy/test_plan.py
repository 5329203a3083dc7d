"""Plans: what they show, and when they no longer hold."""

import dataclasses
from pathlib import Path

import pytest

from deploy import plan
from deploy.errors import DeployError
from deploy.plan import Plan

PLAN = Plan(
    environment="production",
    server="ssh://deploy@voice.example.com (voice-1)",
    stack="voice-production",
    version="v1.1.0",
    digest="sha256:" + "b" * 64,
    current_version="v1.0.0",
    current_digest="sha256:" + "a" * 64,
    volumes=[["data/", "data", "kept"], ["static/", "tts", "kept"]],
    secrets=[["API_KEYS", "a new value"]],
    changes=[["service.deploy.replicas", "2", "3"]],
    notes=[],
    server_state="s1",
    content="c1",
    order="start-first",
)


def test_a_plan_tells_server_versions_volumes_and_changes() -> None:
    # Given a plan, When it is shown, Then everything that a person approves is there
    assert plan.show(PLAN).splitlines() == [
        "Plan: v1.1.0 to production",
        "",
        "  server    ssh://deploy@voice.example.com (voice-1)",
        "  stack     voice-production",
        "  version   v1.0.0 -> v1.1.0",
        "  digest    sha256:aaaaaaaaaaaa -> sha256:bbbbbbbbbbbb",
        "  update    start-first, one replica at a time",
        "  volume    data/ on data (kept)",
        "  volume    static/ on tts (kept)",
        "  secret    API_KEYS (a new value)",
        "",
        "Changes",
        "  service.deploy.replicas: 2 -> 3",
    ]


def test_a_plan_that_still_holds_is_taken(tmp_path: Path) -> None:
    # Given a plan that was saved, When nothing has changed, Then it holds
    plan.save(PLAN, tmp_path / "plan.json")
    plan.check_unchanged(PLAN, tmp_path / "plan.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"server_state": "s2"}, "The server has changed since the plan was made."),
        ({"content": "c2"}, "The files or secrets have changed since the plan was made."),
    ],
)
def test_a_plan_that_no_longer_holds_is_refused(
    change: dict[str, str], message: str, tmp_path: Path
) -> None:
    # Given a plan that was saved
    plan.save(PLAN, tmp_path / "plan.json")
    # When something has changed since, Then it is refused
    with pytest.raises(DeployError) as refusal:
        plan.check_unchanged(dataclasses.replace(PLAN, **change), tmp_path / "plan.json")
    assert str(refusal.value) == f"{message} Make a new plan, and have it approved."


def test_the_plan_of_another_release_is_refused(tmp_path: Path) -> None:
    # Given the plan of a version
    file = tmp_path / "plan.json"
    plan.save(PLAN, file)
    # When another version is released with it, Then it is refused
    with pytest.raises(DeployError, match="is the plan of another release"):
        plan.check_unchanged(dataclasses.replace(PLAN, version="v1.2.0"), file)


@pytest.mark.parametrize("content", ["", "[]", "{}", "null"])
def test_a_file_that_is_no_plan_is_refused(content: str, tmp_path: Path) -> None:
    # Given a file of something else, When it is taken for a plan, Then it is refused
    file = tmp_path / "plan.json"
    file.write_text(content, "utf-8")
    with pytest.raises(DeployError) as refusal:
        plan.check_unchanged(PLAN, file)
    assert str(refusal.value) == f"{file} is no plan: make one with plan --output {file}."


def test_differences_are_told_by_path() -> None:
    # Given two stacks
    old = {"services": {"service": {"image": "a", "deploy": {"replicas": 2}}}}
    new = {"services": {"service": {"image": "b", "deploy": {"replicas": 3}, "read_only": True}}}
    # When they are held against each other, Then each setting but the image is told
    assert plan.differences(old, new) == [
        ["service.deploy.replicas", "2", "3"],
        ["service.read_only", "none", "True"],
    ]
