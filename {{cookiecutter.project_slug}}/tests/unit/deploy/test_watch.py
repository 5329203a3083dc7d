"""What the watch after a release makes of what is measured; the real one is part of releases."""

from collections.abc import Callable
from itertools import count
from types import SimpleNamespace

import pytest

from deploy import prometheus, watch
from deploy.docker import DockerError
from deploy.project import Target

VERSION = "v2.0.0"
Measured = dict[str, float | None]


class FakePrometheus:
    """Knows what it is told, by a word of the expression."""

    def __init__(self, *looks: Measured | None) -> None:
        self.looks = iter(looks)
        self.now: Measured | None = {}
        self.asked: list[str] = []

    def value(self, expression: str) -> float | None:
        """Return the value of the first word that is in the expression."""
        self.asked.append(expression)
        if "http_requests_total" in expression and "5.." not in expression:
            self.now = next(self.looks, {"_total": 100.0})  # the next look
        if self.now is None:
            raise DockerError("docker exec: no such container")
        words = ("objective_errors", "objective_latency", "quantile", "5..", "_count", "_total")
        return next((self.now.get(word) for word in words if word in expression), None)


GOOD: Measured = {
    "_total": 100,
    "_count": 100,
    "5..": 0,
    "quantile": 2.0,
    "objective_errors": 0.01,
    "objective_latency": 10.0,
}
FAILING = [GOOD | {"5..": failed} for failed in (34, 34.5, 35)]
SLOW = [GOOD | {"quantile": 12.5}] * 2
FEW = [GOOD | {"_total": 19, "5..": 18}, GOOD | {"_total": 19, "5..": 19}]
LITTLE = [GOOD | {"5..": 1}, GOOD | {"5..": 2}]
FEW_ANSWERS = [GOOD | {"quantile": 12.5, "_count": 49}] * 2


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let time pass with each look at the clock."""
    clock = count(0, 5)
    time = SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda seconds: None)
    monkeypatch.setattr(watch, "time", time)


@pytest.fixture
def outcome(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str | None, list[str]]]:
    """Return what a watch says, and what came of it."""

    def run(*looks: Measured | None, seconds: str = "60") -> tuple[str | None, list[str]]:
        measured = FakePrometheus(*looks)
        monkeypatch.setattr(prometheus, "find", lambda _target: measured)
        monkeypatch.setattr(watch, "crashed", lambda _target, _known: "")
        said: list[str] = []
        target = Target("production", "voice", "image", {"WATCH_SECONDS": seconds})
        return watch.watch(target, VERSION, set(), said.append), said

    return run


Outcome = Callable[..., tuple[str | None, list[str]]]


def test_a_version_that_keeps_the_objectives_stays(outcome: Outcome) -> None:
    # Given a version that does well, When it is watched, Then there is nothing to say
    assert outcome(*(GOOD,) * 20) == (None, ["watch errors and latency for 60 s"])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (FAILING, "v2.0.0: 34.5% of 100 requests failed, the objective is 1.0%"),
        (SLOW, "v2.0.0: 5 of 100 answers took longer than 12.5 s, the objective is 10.0 s"),
    ],
)
def test_a_version_that_breaks_one_is_taken_back(
    bad: list[Measured], reason: str, outcome: Outcome
) -> None:
    # Given a version that does well, then does not, twice in a row
    found, said = outcome(GOOD, *bad)
    # Then the reason is told, and returned
    assert found == said[2] == reason
    assert len(said) == 3


def test_one_bad_look_may_be_chance(outcome: Outcome) -> None:
    # Given bad looks with a good one between them, When watched, Then it stays
    first, second, third = FAILING
    assert outcome(first, GOOD, second, GOOD, third, *(GOOD,) * 20)[0] is None
    # And failures that have not become more are those that were seen before
    assert outcome(first, first, first, *(GOOD,) * 20)[0] is None


@pytest.mark.parametrize("looks", [FEW, LITTLE, FEW_ANSWERS, [{}, {}]])
def test_a_few_requests_prove_nothing(looks: list[Measured], outcome: Outcome) -> None:
    # Given few requests, failures or answers, or no series yet, When watched, Then it stays
    assert outcome(*looks, *(GOOD,) * 20)[0] is None


def test_a_replica_that_ends_is_enough(outcome: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a version whose replica ends by itself, When watched, Then it is taken back at once
    monkeypatch.setattr(watch, "crashed", lambda _target, _known: "task: non-zero exit (70)")
    target = Target("production", "voice", "image", {"WATCH_SECONDS": "60"})
    found = watch.watch(target, VERSION, {"old"}, lambda _line: None)
    assert found == "a replica of v2.0.0 has ended: task: non-zero exit (70)"


def test_a_prometheus_that_goes_away_ends_the_watch(outcome: Outcome) -> None:
    # Given a Prometheus that is silent three times in a row, When watched, Then that is told
    found, said = outcome(None, GOOD, None, None, None)
    assert found is None
    assert said[-1] == "the watch is over: docker exec: no such container"


def test_a_watch_is_only_where_it_is_wanted_and_possible(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an environment without a watch, Then nothing is asked, nor said
    assert outcome(*FAILING, seconds="") == (None, [])
    # And one without monitoring is told what is missing
    monkeypatch.setattr(prometheus, "find", lambda _target: None)
    monkeypatch.setattr(watch, "crashed", lambda _target, _known: "")
    said: list[str] = []
    target = Target("production", "voice", "image", {"WATCH_SECONDS": "60"})
    assert watch.watch(target, VERSION, set(), said.append) is None
    assert said == ["no watch: no monitoring runs here (release.py monitoring production)"]


def test_only_the_version_counts() -> None:
    # Given a metric, When asked for a version's, Then it is joined with who runs that version
    assert watch.of(VERSION, "m", 'a="b"') == (
        'm{job="service",a="b"} * on (instance) group_left () '
        'service_info{job="service",version="v2.0.0"}'
    )
