"""The dashboards, and what they, the alerts and the rules name: read without a Prometheus."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Answers, Render, name_of, product_of
from tests.monitoring.expressions import (
    MONITORING,
    OWN,
    PARTS,
    asked,
    dashboards,
    documented,
    expressions,
    metrics_of,
    recorded,
    rules,
)

WIDTH = 24
SOURCE = {"type": "prometheus", "uid": "prometheus"}
EVENTS = {"roll", "rollback", "taken_back"}
# Every series that Prometheus scrapes has these; `le` is a bucket's.
COMMON = {"instance", "job", "le"}
OBJECTIVES = {"objective_errors:ratio", "objective_latency_seconds:p95"}
each_variant = pytest.mark.parametrize(
    "answers", product_of("device", "docs_language"), ids=name_of
)


@pytest.fixture
def project(answers: Answers, render: Render) -> Path:
    """Return a project with these answers."""
    return render(answers)


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels of a dashboard without the headings."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


@each_variant
def test_dashboards_are_those_of_the_device(answers: Answers, project: Path) -> None:
    # Given a project's dashboards
    boards = dict(dashboards(project))
    # When they are read
    # Then there is one of the service, one of its delivery, and one of the cards, if there are any
    names = {Path(file).stem for file in boards}
    assert names == {"delivery", "service", *(["gpu"] if answers["device"] == "gpu" else [])}
    assert {board["uid"] for board in boards.values()} == names
    # And each shows when what was released
    for board in boards.values():
        marks = board["annotations"]["list"]
        assert {mark["expr"].split('"')[1] for mark in marks} == EVENTS
        assert len({mark["iconColor"] for mark in marks}) == len(EVENTS)


@each_variant
def test_panels_can_be_read(project: Path) -> None:
    # Given each panel of each dashboard
    for file, board in dashboards(project):
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"]), file
        assert len({panel["title"] for panel in board["panels"]}) == len(board["panels"]), file
        for panel in panels(board):
            # When it is looked at
            place = f"{file}: {panel['title']}"
            # Then it says what it shows, and in which unit
            assert panel["description"].endswith("."), place
            assert panel["fieldConfig"]["defaults"]["unit"], place
            # And it asks the data source that is provisioned
            assert panel["datasource"] == SOURCE, place
            targets = panel["targets"]
            assert len({target["refId"] for target in targets}) == len(targets), place
            # And several lines are told apart
            assert len(targets) == 1 or all(target["legendFormat"] for target in targets), place


@each_variant
def test_panels_do_not_overlap(project: Path) -> None:
    # Given the places of a dashboard's panels
    for file, board in dashboards(project):
        # When each square of its grid is counted
        squares = Counter(
            (x, y)
            for place in (panel["gridPos"] for panel in board["panels"])
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        )
        # Then none is taken twice, and none is outside
        assert set(squares.values()) == {1}, file
        assert max(x for x, _ in squares) < WIDTH, file


@each_variant
def test_grafana_is_given_what_there_is(project: Path) -> None:
    # Given what Grafana reads at its start
    folder = project / MONITORING / "grafana/provisioning"
    sources = yaml.safe_load((folder / "datasources/prometheus.yml").read_text("utf-8"))
    config = yaml.safe_load((project / MONITORING / "prometheus.yml").read_text("utf-8"))
    # When it is held against the dashboards and Prometheus
    [source] = sources["datasources"]
    # Then the data source is the dashboards' own, and it knows the time between two scrapes
    assert {"type": source["type"], "uid": source["uid"]} == SOURCE
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]


@each_variant
def test_every_expression_is_promql(project: Path) -> None:
    # Given every expression of rules, their texts, panels and annotations
    found = list(expressions(project))
    assert len(found) > 100
    for expression in found:
        # When it is parsed
        try:
            selectors = expression.selectors
        except ValueError as error:
            pytest.fail(f"{expression.file}: {expression.place}: {error}")
        # Then it asks for series, or is an objective
        assert selectors or expression.place.startswith("objective_"), expression
        assert "$" not in expression.text, expression


@each_variant
def test_no_metric_is_undefined_and_none_unused(project: Path) -> None:
    # Given the metrics that the documents explain
    known = documented(project)
    assert len(known) > 40
    # When they are held against those that rules, alerts and dashboards name
    named = {name: file for file, names in metrics_of(project).items() for name in names}
    # Then each that is named is explained, and each that is explained is named
    assert {name: file for name, file in named.items() if name not in known} == {}
    assert known.keys() - named.keys() == set()


@each_variant
def test_the_pages_ask_for_what_there_is(project: Path) -> None:
    # Given the expressions that the pages of the alerts have
    known = documented(project).keys() | recorded(project) | OWN
    found = list(asked(project))
    assert len(found) > 20
    for expression in found:
        # When each is parsed, Then it asks for series that there are
        names = {PARTS.sub("", str(selector.name)) for selector in expression.selectors}
        assert names, expression
        assert names <= known, expression


@each_variant
def test_no_label_is_undefined(project: Path) -> None:
    # Given the labels that the documents give each metric
    known = documented(project)
    for expression in (*expressions(project), *asked(project)):
        for selector in expression.selectors:
            # When a series is chosen by its labels
            name = PARTS.sub("", str(selector.name))
            chosen = {matcher.name for matcher in selector.matchers.matchers} - COMMON
            # Then its metric has them
            if name in known:
                assert chosen <= known[name], expression


@each_variant
def test_every_recorded_series_is_read(project: Path) -> None:
    # Given the series that rules record
    made = recorded(project)
    # When they are looked for in what other rules and the panels ask for
    read = {str(one.name) for expression in expressions(project) for one in expression.selectors}
    # Then each is read, and none is read that is not made
    assert made - read == set()
    assert {name for name in read if ":" in name} <= made
    # And their names say level, metric and operation
    assert {name for name in made if name.count(":") != 2} == OBJECTIVES


@each_variant
def test_scraped_series_are_those_of_one_job(project: Path) -> None:
    # Given every series that is asked for and that is neither recorded nor pushed
    others = recorded(project) | {"ALERTS", "release_event"}
    for expression in expressions(project):
        for selector in expression.selectors:
            if selector.name in others:
                continue
            # When its matchers are read
            jobs = {one.value for one in selector.matchers.matchers if one.name == "job"}
            # Then they name the job: HAProxy, for one, has a process_start_time_seconds, too
            assert len(jobs & {"service", "proxy", "probe"}) == 1, expression


@each_variant
def test_alerts_compare_with_the_objectives(project: Path) -> None:
    # Given the objectives, which stand in one file
    for name in OBJECTIVES:
        # When it is looked for who reads them
        readers = {
            one.file for one in expressions(project) for s in one.selectors if s.name == name
        }
        # Then the alerts do, and both dashboards
        assert len(readers) == 3, name


@each_variant
def test_objectives_are_numbers(project: Path) -> None:
    # Given the objectives
    found = {rule["record"]: rule for _, rule in rules(project) if rule.get("record") in OBJECTIVES}
    # When they are read, Then each is one number, without labels that a comparison had to know
    assert found.keys() == OBJECTIVES
    assert all(re.fullmatch(r"vector\([\d.]+\)", rule["expr"]) for rule in found.values())
    assert not [rule for rule in found.values() if "labels" in rule]


def test_gpu_metrics_are_those_of_the_driver(render: Render) -> None:
    # Given a GPU project's rules and dashboard, and what its module reads from the driver
    project = render({"device": "gpu"})
    told = set(re.findall(r'"(gpu_\w+)"', (project / "app/ai/gpu_metrics.py").read_text("utf-8")))
    # When their metrics are held against each other, Then they are the same
    named = {name for names in metrics_of(project).values() for name in names}
    assert {name for name in named if name.startswith("gpu_")} == told
