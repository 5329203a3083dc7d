"""Watches a version that was just released: its replicas, its errors and its latency."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from deploy import prometheus, server, stack
from deploy.docker import DockerError
from deploy.project import Target
from deploy.prometheus import Prometheus

EVERY_SECONDS = 10.0
# One bad look may be chance; so may a few failures, and a share of a few requests.
BAD_LOOKS = 2
FEWEST_REQUESTS = 20
FEWEST_FAILURES = 3
FEWEST_ANSWERS = 50  # of which 5 % are two or three
LOST_CALLS = 3
# As the recorded rules have it (monitoring/rules/service.yml): what a platform asks is no caller's
# question, and files are answered in no time.
CALLERS = 'route!~"/health|/ready"'
API = 'route=~"/(api|v1)/.+"'

Say = Callable[[str], None]


@dataclass(frozen=True)
class Look:
    """What a version's replicas have done since they began.

    Args:
        failed: requests that failed.
        reason: in which objective the version fails; empty when it keeps both.
    """

    failed: float
    reason: str


def watch(target: Target, version: str, known: set[str], say: Say) -> str | None:
    """Look at a version for the environment's ``WATCH_SECONDS``.

    Args:
        target: where it was released.
        version: what was released.
        known: ids of the tasks whose end says nothing of it: those before the release.
        say: is told what is seen.

    Returns:
        Why it must be taken back, None when it keeps the objectives, or when nobody measures it.
    """
    seconds = target.seconds("WATCH_SECONDS", 0)
    if not seconds:
        return None
    deadline = time.monotonic() + seconds
    bad = lost = 0
    last: Look | None = None
    while time.monotonic() < deadline:
        if last or lost:
            time.sleep(EVERY_SECONDS)
        try:
            if crash := crashed(target, known):
                return f"a replica of {version} has ended: {crash}"
            # Found anew each time: it may have been replaced meanwhile.
            measured = prometheus.find(target)
            if measured is None:
                command = f"release.py monitoring {target.environment}"
                say(f"no watch: no monitoring runs here ({command})")
                return None
            now = look(measured, version)
        except DockerError as error:
            lost += 1
            if lost == LOST_CALLS:
                say(f"the watch is over: {str(error).splitlines()[-1]}")
                return None
            continue
        lost = 0
        if last is None:
            say(f"watch errors and latency for {seconds} s")
        # Failures that have not become more are those of the last look.
        goes_on = now.reason and (not last or now.failed > last.failed or not now.failed)
        bad = bad + 1 if goes_on else 0
        last = now
        if goes_on:
            say(now.reason)
        if bad == BAD_LOOKS:
            return now.reason
    return None


def crashed(target: Target, known: set[str]) -> str:
    """Return why a task of the release has ended by itself, empty when none has."""
    state = server.read_service(target, stack.SERVICE)
    return server.why_failed(state, known) if state else ""


def look(measured: Prometheus, version: str) -> Look:
    """Return what a version's replicas have done: their counters began with them.

    Raises:
        DockerError: Prometheus does not answer.
    """
    requests = measured.value(f"sum({of(version, 'http_requests_total', CALLERS)})") or 0
    errors = of(version, "http_requests_total", CALLERS, 'status=~"5.."')
    failed = measured.value(f"sum({errors})") or 0
    most = measured.value("objective_errors:ratio")
    enough = requests >= FEWEST_REQUESTS and failed >= FEWEST_FAILURES
    if enough and most is not None and failed / requests > most:
        share = f"{failed / requests:.1%} of {requests:.0f} requests failed"
        return Look(failed, f"{version}: {share}, the objective is {most:.1%}")
    answers = measured.value(f"sum({of(version, 'http_request_duration_seconds_count', API)})") or 0
    buckets = of(version, "http_request_duration_seconds_bucket", API)
    latency = measured.value(f"histogram_quantile(0.95, sum by (le) ({buckets}))")
    longest = measured.value("objective_latency_seconds:p95")
    slow = latency is not None and longest is not None and latency > longest
    if slow and answers >= FEWEST_ANSWERS:
        took = f"5 of 100 answers took longer than {latency:.1f} s"
        return Look(0, f"{version}: {took}, the objective is {longest:.1f} s")
    return Look(failed, "")


def of(version: str, metric: str, *matchers: str) -> str:
    """Return the PromQL of a metric, of one version's replicas alone."""
    labels = ",".join(('job="service"', *matchers))
    series = f"{metric}{{{labels}}}"
    replicas = f'service_info{{job="service",version="{version}"}}'
    return f"{series} * on (instance) group_left () {replicas}"
