"""A change on its whole way, by the workflows themselves: what `make delivery-demo` tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Render
from tests.containers.conftest import BASES, STAND_INS
from tools.delivery.story import Story, story
from tools.delivery.workflow_runner import Run

# The whole suite is run by test_ci.py; here two parts show that nothing goes on without them.
FEW_TESTS = {"PYTEST_ADDOPTS": "--no-cov -k 'masking or S8'"}


@pytest.fixture(scope="module")
def told(
    programs: None,
    render: Render,
    weights: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Story]:
    """Return the scene: a registry, two servers, a project with its repository."""
    folder = tmp_path_factory.mktemp("story")
    options = f"--build-arg BASE_IMAGE={STAND_INS['cpu']}" if BASES == "stand-in" else ""
    jobs = {**FEW_TESTS, "MAKEFLAGS": f" -- VENV={folder / 'venv'}"}
    with story(folder, render, weights, build_options=options, environment=jobs) as made:
        yield made


def succeeded(run: Run) -> Run:
    """Return a run that went well."""
    assert run.status == 0, f"{run.failed_steps} {run.errors}\n{run.log[-6000:]}"
    return run


def test_a_change_goes_to_staging_to_production_and_back(told: Story) -> None:
    # Given a project as it is generated
    source = told.runner.source
    first = told.runner.commit("feat: names of our servers")
    # When it is pushed to main, Then staging serves it, and says so in the registry
    succeeded(told.run("push", "cd-staging.yml", "staging"))
    assert told.version("staging") == f"sha-{first}"
    verified = told.registry.digest(told.image, f"verified-{first}")
    assert verified == told.deployed_digest("staging")
    assert verified == told.registry.digest(told.image, f"sha-{first}")

    # When it gets a tag, Then production serves the same image, and nothing was built
    told.runner.tag("v1.0.0")
    run = succeeded(told.run("tag", "cd-production.yml", "production", ref="refs/tags/v1.0.0"))
    assert told.version("production") == "v1.0.0"
    assert told.deployed_digest("production") == verified
    assert "docker build" not in run.log
    # and the plan that was to be approved stands in the summary
    assert "Plan: v1.0.0 to production" in run.summary
    assert f"server    {told.servers['production'].docker_host} (production)" in run.summary

    # When a version is asked for whose commit staging never ran, Then it is refused
    (source / "settings.toml").write_text(
        (source / "settings.toml").read_text("utf-8") + 'system_prompt = "Be brief."\n', "utf-8"
    )
    second = told.runner.commit("feat: shorter answers")
    told.runner.tag("v1.1.0")
    refused = told.run("early tag", "cd-production.yml", "production", ref="refs/tags/v1.1.0")
    assert refused.status != 0
    assert "Staging never ran v1.1.0" in "".join(refused.errors)
    assert told.version("production") == "v1.0.0"

    # When staging has run it, and it is released by hand under load, Then no request fails
    succeeded(told.run("push", "cd-staging.yml", "staging"))
    with told.under_load("production"):
        dispatch = ("cd-production.yml", "production", "workflow_dispatch")
        run = succeeded(told.run("dispatch", *dispatch, version="v1.1.0"))
    assert "v1.0.0 -> v1.1.0" in run.summary
    assert told.version("production") == "v1.1.0"
    digest = told.deployed_digest("production")
    assert digest == told.registry.digest(told.image, f"verified-{second}")
    assert digest != verified

    # When it is taken back under load, Then no request fails either
    with told.under_load("production"):
        back = ("rollback.yml", "production", "workflow_dispatch")
        succeeded(told.run("rollback", *back, environment="production", version=""))
    assert told.version("production") == "v1.0.0"
    assert told.deployed_digest("production") == verified
    for step in told.steps:
        if step.report:
            assert step.report.problems == []
            assert step.report.requests > 0
            assert step.report.streams > 0

    # And no secret stands in any log, summary or output
    for run in (step.run for step in told.steps if step.run):
        for needle in (value.rpartition(":")[2] for value in told.secrets.values()):
            texts = (run.log, run.summary, *run.outputs.values())
            assert not any(needle.strip() in text for text in texts), needle


def test_nothing_is_deployed_without_green_ci(told: Story) -> None:
    # Given a change with a lint error
    (told.runner.source / "app" / "unused.py").write_text("import os\n", "utf-8")
    told.runner.commit("feat: careless")
    # When it is pushed to main
    before = told.registry.tags(told.image)
    run = told.run("red push", "cd-staging.yml", "staging")
    # Then CI stops it: nothing was built, nothing deployed
    assert run.status != 0
    assert run.failed_steps == ["Lint with ruff"]
    assert set(run.jobs) == {"Lint and test"}
    assert told.registry.tags(told.image) == before
