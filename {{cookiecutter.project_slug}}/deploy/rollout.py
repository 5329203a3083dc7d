"""Carries a release out: lock, journal, secrets, update, smoke test, and the way back."""

import time
from collections.abc import Callable

from deploy import history, lock, prometheus, secrets, server, stack
from deploy.docker import DockerError, docker
from deploy.errors import DeployError
from deploy.plan import Prepared
from deploy.project import Target
from deploy.smoke import smoke_test
from deploy.stack import Release
from deploy.watch import watch

PULL_SECONDS = 1800.0
POLL_SECONDS = 1.0
STOP_SECONDS = 90
# A replica that waits for a server this long waits for one that does not come.
WAITING_SECONDS = 60
SLACK_SECONDS = 120
TAKEN_BACK = {"paused", "rollback_completed", "rollback_paused"}
# Lost calls in a row, over a bad connection, after which a release is given up.
LOST_CALLS = 5

Say = Callable[[str], None]


class ReleaseFailedError(DeployError):
    """The new version did not come to serve; the text says why and what serves now."""


def apply(
    target: Target, prepared: Prepared, by: str, say: Say, kind: str = prometheus.ROLL
) -> None:
    """Release a version: replica by replica, and back to the former one if it is no good.

    It can be interrupted anywhere: the service goes on serving, and the same command goes on.

    Args:
        target: where to.
        prepared: the plan, and what it takes.
        by: who approved it.
        say: is told of each step.
        kind: ``roll`` or ``rollback``, for the dashboards.

    Raises:
        DeployError: it was refused, nothing was changed.
        ReleaseFailedError: it was tried, and the former version serves.
    """
    release = prepared.release
    say("pull the image")
    pull(release)
    say("take the lock")
    with lock.held(target, release.image, f"{release.version} by {by}") as held:
        if server.fingerprint(target) != prepared.plan.server_state:
            raise DeployError("The server has changed since the plan was made. Plan again.")
        say("write the journal")
        number = history.begin(target, release, prepared.model, by)
        try:
            say("create the secrets")
            secrets.create(target, prepared.secret_names, prepared.secret_values)
            held.check()
            _replace(target, prepared, held, say, kind)
        except ReleaseFailedError as error:
            history.end(target, number, history.FAILED, str(error))
            raise
        say("close the journal")
        history.end(target, number, history.DONE)
        secrets.forget(target, set(prepared.secret_names.values()))


def pull(release: Release) -> None:
    """Fetch the images, so that the update itself need not wait for them.

    Raises:
        DeployError: the server has no such image, and no registry gives it one.
    """
    for image in (release.image, release.values["PROXY_IMAGE"]):
        try:
            docker("pull", "--quiet", image, seconds=PULL_SECONDS)
        except DockerError as error:
            try:  # no registry in reach must not stand in the way of an image that is there
                docker("image", "inspect", "--format", "{{.Id}}", image)
            except DockerError:
                said = str(error).splitlines()[-1]
                raise DeployError(f"The server cannot fetch {image}: {said}") from error


def _replace(target: Target, prepared: Prepared, held: lock.Lock, say: Say, kind: str) -> None:
    """Update the services, test and watch them, and go back where that fails."""
    release = prepared.release
    known = task_ids(target)
    say("update the services")
    reason: str | None
    try:
        stack.deploy(target, release, prepared.extra)
        reason = wait(target, release.version, known, say)
    except DockerError as error:  # half of it may have been taken
        reason = str(error)
    if reason is None:
        say("smoke test")
        reason = _smoke(target, prepared, say)
    if reason is None:
        prometheus.tell(target, release.version, kind)
        # A person goes back for a reason: no figure sends them forward again.
        if kind == prometheus.ROLL:
            reason = watch(target, release.version, known, say)
    if reason is None:
        return
    after = "There is no former version to go back to."
    if prepared.previous:
        held.check()
        say(f"roll back to {prepared.previous.version}")
        _restore(target, prepared, prepared.previous, say)
        prometheus.tell(target, prepared.previous.version, prometheus.TAKEN_BACK)
        after = f"{prepared.previous.version} serves."
    raise ReleaseFailedError(f"{release.version} failed. {after} The reason: {reason}")


def _restore(target: Target, prepared: Prepared, previous: Release, say: Say) -> None:
    """Deploy the last good release again, with the secrets that it had."""
    users = {row.name: row.used_by for row in secrets.table(previous.values)}
    names = prepared.secret_names | prepared.present_names
    used = {
        name: full for name, full in names.items() if users.get(name, "workflows") in stack.USERS
    }
    known = task_ids(target)
    stack.deploy(target, previous, stack.fragment(previous, used, users))
    if reason := wait(target, previous.version, known, say):
        raise ReleaseFailedError(
            f"{prepared.release.version} failed, and so did the way back: {reason}"
        )


def _smoke(target: Target, prepared: Prepared, say: Say) -> str | None:
    url = target.values.get("PUBLIC_URL", "")
    if not url:
        say("none: PUBLIC_URL is not set")
        return None
    keys = prepared.secret_values.get("API_KEYS", "")
    reason = smoke_test(url, prepared.release.version, keys)
    return f"the smoke test failed: {reason}" if reason else None


def task_ids(target: Target) -> set[str]:
    """Return the ids of every task that the stack has or had."""
    states = [server.read_service(target, name) for name in (stack.SERVICE, stack.PROXY)]
    return {str(task["ID"]) for state in states if state for task in state.tasks}


def wait(target: Target, version: str, known: set[str], say: Say) -> str | None:
    """Watch an update until it has ended; return None when all replicas run the version.

    Args:
        target: where the update goes on.
        version: that all replicas are to run.
        known: ids of the tasks that were there before.
        say: is told how many run it.

    Returns:
        Why the update failed, else None.
    """
    start = target.seconds("START_SECONDS", 600)
    monitor = target.seconds("MONITOR_SECONDS", 15)
    deadline: float | None = None
    settled_at: float | None = None
    waiting_since: float | None = None
    shown = ""
    lost = 0
    while True:
        try:
            states = {
                name: server.read_service(target, name) for name in (stack.SERVICE, stack.PROXY)
            }
        except DockerError:
            lost += 1
            if lost > LOST_CALLS:
                raise
            time.sleep(POLL_SECONDS)
            continue
        lost = 0
        service = states[stack.SERVICE]
        if service is None:
            return "the swarm has no such service"
        now = time.monotonic()
        if deadline is None:
            each = start + 2 * monitor + STOP_SECONDS
            deadline = now + service.replicas * each + SLACK_SECONDS
        line = f"{len(service.current)} of {service.replicas} replicas run {service.version}"
        if line != shown:
            say(line)
            shown = line
        failures = [server.why_failed(state, known) for state in states.values() if state]
        failure = next((reason for reason in failures if reason), "")
        # Docker forgets the last update's state when the next one begins: this is of this one.
        ended = {state.update for state in states.values() if state} & TAKEN_BACK
        if ended:
            return failure or f"the swarm took the update back ({', '.join(ended)})"
        if service.version != version:
            if service.settled:
                return failure or "another version was deployed meanwhile"
        elif all(state and state.settled for state in states.values()):
            settled_at = settled_at or now
            # The swarm itself watches updates; a first release is watched here.
            if service.update or now - settled_at >= monitor:
                return None
        else:
            settled_at = None
        if not service.update and failure:
            return failure
        waiting_since = (waiting_since or now) if service.waiting else None
        if waiting_since and now - waiting_since > WAITING_SECONDS:
            return service.waiting
        if now > deadline:
            return failure or "the replicas were not healthy in time"
        time.sleep(POLL_SECONDS)
