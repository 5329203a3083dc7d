"""How Prometheus is asked, through the docker command."""

import json

import pytest

from deploy import prometheus
from deploy.docker import DockerError
from deploy.project import Target
from deploy.prometheus import Prometheus

TARGET = Target("production", "voice", "image", {})


@pytest.mark.parametrize(
    ("samples", "value"),
    [
        ([], None),
        ([{"metric": {}, "value": [1.0, "0.25"]}], 0.25),
        ([{"metric": {}, "value": [1.0, "NaN"]}], None),
    ],
)
def test_an_expression_has_a_value_or_none(
    samples: list[object], value: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given what promtool prints, When a value is asked for, Then it is a number or none
    monkeypatch.setattr(prometheus, "docker", lambda *_: json.dumps(samples))
    assert Prometheus("c").value("up") == value


def test_what_is_no_json_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a promtool that prints something else, When asked, Then that is told
    monkeypatch.setattr(prometheus, "docker", lambda *_: "oops")
    with pytest.raises(DockerError, match="promtool printed no JSON: oops"):
        Prometheus("c").value("up")


def test_a_release_is_told_by_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a Prometheus beside the service
    calls: list[tuple[tuple[str, ...], str]] = []

    def docker(*arguments: str, text: str = "") -> str:
        calls.append((arguments, text))
        return "abc" if arguments[0] == "ps" else ""

    monkeypatch.setattr(prometheus, "docker", docker)
    # When it is told
    prometheus.tell(TARGET, "v2.0.0", prometheus.ROLL)
    # Then its own container is, by a line of Prometheus's format
    (asked, _), (told, text) = calls
    assert "label=com.docker.swarm.service.name=voice-production-monitoring_prometheus" in asked
    assert told[:3] == ("exec", "--interactive", "abc")
    assert text.splitlines()[-1] == 'release_event{version="v2.0.0",kind="roll"} 1'


def test_a_release_does_not_fail_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given no Prometheus, and then one that does not take it
    monkeypatch.setattr(prometheus, "docker", lambda *_: "")
    assert prometheus.find(TARGET) is None
    prometheus.tell(TARGET, "v2.0.0", prometheus.ROLL)

    def fail(*_: str, **__: str) -> str:
        raise DockerError("no")

    monkeypatch.setattr(prometheus, "docker", fail)
    # When it is told, Then nothing is raised
    prometheus.tell(TARGET, "v2.0.0", prometheus.ROLL)
