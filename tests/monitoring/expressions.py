"""Every expression of a project's rules and dashboards, and the metrics that they name."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml

MONITORING = Path("deploy/monitoring")
RULES = MONITORING / "rules"
DASHBOARDS = MONITORING / "grafana/dashboards"
# What Grafana puts in: a window for rates, the time between two points, the time that is shown. A
# query that is asked once has to look back for as long as many points do.
GRAFANA = {"$__rate_interval": "1m", "$__interval": "1h", "$__range": "1h"}
# A histogram is one metric with three series.
PARTS = re.compile(r"_(bucket|sum|count)$")
IN_TEMPLATE = re.compile(r'query "([^"]+)"')
# Made by Prometheus itself.
OWN = {"ALERTS", "up"}
METRIC = re.compile(r"`([a-zA-Z_]\w*)`")
ROW = re.compile(r"^\|(?P<names> `[^|]+)\|(?P<labels>[^|]*)\|", re.MULTILINE)
# A question to Prometheus, in an example.
ASKED = re.compile(r"^ask '(.+)'", re.MULTILINE)


@dataclass(frozen=True)
class Expression:
    """An expression of PromQL, and where it is from."""

    file: str
    """From the project's folder."""
    place: str
    """The rule's name, or the panel's title."""
    text: str
    """With values for the variables of Grafana."""

    @property
    def selectors(self) -> list[promql_parser.VectorSelector]:
        """The series that it asks for. Raises ValueError where it is no PromQL."""
        found: list[promql_parser.VectorSelector] = []

        def note(part: promql_parser.Expr) -> None:
            if isinstance(part, promql_parser.VectorSelector):
                found.append(part)

        promql_parser.walk(promql_parser.parse(self.text), note)
        return found


def rules(project: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each rule with the file that it is from."""
    for file in sorted((project / RULES).glob("*.yml")):
        for group in yaml.safe_load(file.read_text("utf-8"))["groups"]:
            for rule in group["rules"]:
                yield file.relative_to(project).as_posix(), rule


def dashboards(project: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each dashboard with its file."""
    for file in sorted((project / DASHBOARDS).glob("*.json")):
        yield file.relative_to(project).as_posix(), json.loads(file.read_text("utf-8"))


def expressions(project: Path) -> Iterator[Expression]:
    """Yield every expression: of rules, of their texts, of panels, of annotations."""
    for file, rule in rules(project):
        place = str(rule.get("alert") or rule["record"])
        yield Expression(file, place, rule["expr"])
        for text in rule.get("annotations", {}).values():
            for query in IN_TEMPLATE.findall(text):
                yield Expression(file, place, query)
    for file, board in dashboards(project):
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                yield Expression(file, panel["title"], plain(target["expr"]))
        for mark in board["annotations"]["list"]:
            yield Expression(file, mark["name"], plain(mark["expr"]))


def dashboard_queries(project: Path) -> Iterator[tuple[str, str]]:
    """Yield the query of every panel and every annotation, with its dashboard's name."""
    for expression in expressions(project):
        if expression.file.endswith(".json"):
            yield Path(expression.file).stem, expression.text


def plain(expression: str) -> str:
    """Return an expression of Grafana with values for its variables."""
    for name, value in GRAFANA.items():
        expression = expression.replace(name, value)
    return expression


def metrics_of(project: Path) -> dict[str, set[str]]:
    """Return the metrics that each file names, without those that rules record.

    A histogram's name is that of the metric, without ``_bucket``, ``_sum`` or ``_count``.
    """
    own = recorded(project) | OWN
    found: dict[str, set[str]] = defaultdict(set)
    for expression in expressions(project):
        names = {str(selector.name) for selector in expression.selectors} - own
        found[expression.file] |= {PARTS.sub("", name) for name in names}
    return dict(found)


def recorded(project: Path) -> set[str]:
    """Return the names of the series that rules record."""
    return {rule["record"] for _, rule in rules(project) if "record" in rule}


def asked(project: Path) -> Iterator[Expression]:
    """Yield the expressions that people find in the documents."""
    for file in sorted((project / "docs").glob("operations*.md")):
        for text in ASKED.findall(file.read_text("utf-8")):
            yield Expression(file.relative_to(project).as_posix(), text, text)


def documented(project: Path) -> dict[str, set[str]]:
    """Return the metrics in the tables of ``docs/operations*.md``, each with its labels."""
    found: dict[str, set[str]] = {}
    for file in sorted((project / "docs").glob("operations*.md")):
        for row in ROW.finditer(file.read_text("utf-8")):
            labels = set(METRIC.findall(row["labels"]))
            found |= dict.fromkeys(METRIC.findall(row["names"]), labels)
    return found
