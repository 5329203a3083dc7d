"""Watches a version that was just released: its errors and its latency, against the objectives."""

import time
from collections.abc import Callable

from deploy import prometheus
from deploy.docker import DockerError
from deploy.project import Target
from deploy.prometheus import Prometheus

EVERY_SECONDS = 10.0
# One bad look may be chance; so may a share of a few requests.
BAD_LOOKS = 2
FEWEST_REQUESTS = 20
LOST_CALLS = 3
# As the recorded rules have it (monitoring/rules/service.yml): what a platform asks is no caller's
# question, and files are answered in no time.
CALLERS = 'route!~"/health|/ready"'
API = 'route=~"/(api|v1)/.+"'

Say = Callable[[str], None]


def watch(target: Target, version: str, say: Say) -> str | None:
    """Look at a version for the environment's ``WATCH_SECONDS``.

    Args:
        target: where it was released.
        version: what was released.
        say: is told what is seen.

    Returns:
        Why it must be taken back, None when it keeps the objectives, or when nobody measures it.
    """
    seconds = target.seconds("WATCH_SECONDS", 0)
    if not seconds:
        return None
    measured = prometheus.find(target)
    if measured is None:
        say(f"no watch: no monitoring runs here (release.py monitoring {target.environment})")
        return None
    say(f"watch errors and latency for {seconds} s")
    deadline = time.monotonic() + seconds
    bad = lost = 0
    while time.monotonic() < deadline:
        time.sleep(min(EVERY_SECONDS, max(0.0, deadline - time.monotonic())))
        try:
            reason = look(measured, version)
        except DockerError as error:
            lost += 1
            if lost == LOST_CALLS:
                say(f"the watch is over: {str(error).splitlines()[-1]}")
                return None
            continue
        lost = 0
        bad = bad + 1 if reason else 0
        if reason:
            say(reason)
        if bad == BAD_LOOKS:
            return reason
    return None


def look(measured: Prometheus, version: str) -> str | None:
    """Return in which objective a version fails, None when it keeps both.

    What is looked at is all that its replicas have done: their counters began with them.

    Raises:
        DockerError: Prometheus does not answer.
    """
    requests = measured.value(f"sum({of(version, 'http_requests_total', CALLERS)})") or 0
    if requests < FEWEST_REQUESTS:
        return None
    errors = of(version, "http_requests_total", CALLERS, 'status=~"5.."')
    failed = measured.value(f"sum({errors})") or 0
    most = measured.value("objective_errors:ratio")
    if most is not None and failed / requests > most:
        share = f"{failed / requests:.1%} of {requests:.0f} requests failed"
        return f"{version}: {share}, the objective is {most:.1%}"
    buckets = of(version, "http_request_duration_seconds_bucket", API)
    latency = measured.value(f"histogram_quantile(0.95, sum by (le) ({buckets}))")
    longest = measured.value("objective_latency_seconds:p95")
    if latency is not None and longest is not None and latency > longest:
        return (
            f"{version}: 5 of 100 answers took longer than {latency:.1f} s, "
            f"the objective is {longest:.1f} s"
        )
    return None


def of(version: str, metric: str, *matchers: str) -> str:
    """Return the PromQL of a metric, of one version's replicas alone."""
    labels = ",".join(('job="service"', *matchers))
    series = f"{metric}{{{labels}}}"
    replicas = f'service_info{{job="service",version="{version}"}}'
    return f"{series} * on (instance) group_left () {replicas}"
