"""Releases a version, and takes it back: ``python3 -m deploy.release --help``."""

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from deploy import history, lock, monitor, plan, prometheus, registry, rollout, server, stack
from deploy.errors import DeployError
from deploy.project import ENVIRONMENTS, Target, check_version, read_target
from deploy.stack import Release


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return 0 when it did what it says, else 1 with one sentence."""
    options = _parser().parse_args(arguments)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        target = read_target(getattr(options, "environment", ENVIRONMENTS[0]))
        options.run(target, options)
    except DeployError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\nInterrupted. The service goes on; status says where things stand.", file=sys.stderr
        )
        return 130
    return 0


def show_plan(target: Target, options: argparse.Namespace) -> None:
    """Print what a release would change."""
    image = registry.image_of(target, options.version)
    prepared = plan.prepare(target, stack.read_release(target, options.version, image))
    print(plan.show(prepared.plan))
    if options.output:
        plan.save(prepared.plan, options.output)


def apply(target: Target, options: argparse.Namespace) -> None:
    """Release a version."""
    image = registry.image_of(target, options.version)
    release = stack.read_release(target, options.version, image)
    _carry_out(target, release, options.approved_by, options.plan, prometheus.ROLL)


def roll_back(target: Target, options: argparse.Namespace) -> None:
    """Release a former version again, as it was: image, stack and settings."""
    entries = history.read(target)
    state = server.read_service(target, stack.SERVICE)
    current = state.version if state else ""
    wanted = options.version and check_version(options.version)
    former = history.former(entries, current, wanted)
    if not former:
        good = [entry.release.version for entry in entries if entry.outcome == history.DONE]
        known = ", ".join(dict.fromkeys(good)) or "none"
        raise DeployError(
            f"There is no {wanted or 'former version'} to go back to: {current or 'nothing'} runs, "
            f"and the journal of {target.environment} has {known}."
        )
    _carry_out(target, former, options.approved_by, None, prometheus.ROLLBACK)


def show_status(target: Target, _options: argparse.Namespace) -> None:
    """Print what the server runs, and whether a release was left unfinished."""
    print(f"{target.environment}: {server.address()} ({server.node_name()}), stack {target.stack}")
    for name in (stack.SERVICE, stack.PROXY):
        state = server.read_service(target, name)
        if state is None:
            print(f"  {name:8} not deployed")
            continue
        digest = str(state.service["Spec"]["Labels"].get(server.DIGEST_LABEL, ""))
        what = f"{state.version} {digest[: plan.SHORT]} " if state.version else ""
        update = f", {state.update}" if state.update else ""
        print(f"  {name:8} {what}{len(state.current)} of {state.replicas} run{update}")
    holder = lock.holder(target)
    if holder:
        print(f"  a release is going on: {holder}")
    entries = history.read(target)
    if not holder and entries and entries[-1].outcome == history.BEGUN:
        last = entries[-1]
        print(
            f"  the release of {last.release.version} by {last.by} ({last.at}) was interrupted: "
            f"apply {target.environment} {last.release.version} goes on, rollback goes back."
        )


def show_history(target: Target, _options: argparse.Namespace) -> None:
    """Print the journal, newest last."""
    server.node_name()
    entries = history.read(target)
    if not entries:
        print(f"{target.environment} has no release yet.")
    for entry in entries:
        outcome = "interrupted" if entry.outcome == history.BEGUN else entry.outcome
        reason = f": {entry.note.splitlines()[0]}" if entry.note else ""
        digest = entry.release.digest[: plan.SHORT]
        print(
            f"{entry.number:4} {entry.at} {entry.release.version:12} {digest} {outcome} "
            f"by {entry.by}{reason}"
        )


def mark_verified(target: Target, options: argparse.Namespace) -> None:
    """Write into the registry that staging has run an image."""
    registry.mark_verified(target, options.commit, options.digest)


def promote(target: Target, options: argparse.Namespace) -> None:
    """Print the digest that staging has verified for a commit; tag it with the version."""
    print(registry.promote(target, options.commit, options.version))


def set_up_monitoring(target: Target, options: argparse.Namespace) -> None:
    """Put what watches the service beside it, or what has changed of it."""
    prepared = monitor.prepare(target)
    print("\n".join(prepared.lines))
    if not options.approved_by:
        _ask(target.environment)
    print()
    monitor.apply(target, prepared, _say)
    print(f"\n{target.environment} is watched.")


def _carry_out(
    target: Target,
    release: Release,
    approved_by: str | None,
    approved_plan: Path | None,
    kind: str,
) -> None:
    prepared = plan.prepare(target, release)
    print(plan.show(prepared.plan))
    if approved_plan:
        plan.check_unchanged(prepared.plan, approved_plan)
    if _runs_already(target, prepared):
        print(f"\n{target.environment} runs {release.version} already; there is nothing to change.")
        return
    by = approved_by or _ask(release.version)
    print()
    rollout.apply(target, prepared, by, _say, kind)
    print(f"\n{target.environment} runs {release.version}.")


def _runs_already(target: Target, prepared: plan.Prepared) -> bool:
    """Tell whether a release would change nothing, and the last one came to its end."""
    made = prepared.plan
    same = made.current_version == made.version and made.current_digest == made.digest
    states = [server.read_service(target, name) for name in (stack.SERVICE, stack.PROXY)]
    entries = history.read(target)
    return (
        same
        and not made.changes
        and all(state and state.settled for state in states)
        and bool(entries)
        and entries[-1].outcome == history.DONE
    )


def _ask(word: str) -> str:
    """Return who approved: the person at the terminal, who has typed the version, or the place.

    Raises:
        DeployError: nobody is there, or something else was typed.
    """
    if not sys.stdin.isatty():
        raise DeployError(
            f"Not approved: nobody sits at a terminal to type {word}. A workflow whose "
            "environment has reviewers says --approved-by NAME. Nothing was changed."
        )
    try:
        typed = input(f"\nType {word} to go on: ").strip()
    except EOFError:
        typed = ""
    if typed != word:
        raise DeployError(f"Not approved: {word} was not typed. Nothing was changed.")
    return os.environ.get("USER") or "terminal"


def _say(step: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {step}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m deploy.release",
        description="Releases a version of the service to the server that DOCKER_HOST names.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    environments = {"choices": ENVIRONMENTS, "metavar": "ENVIRONMENT"}

    one = commands.add_parser("plan", help="show what a release would change")
    one.add_argument("environment", **environments)  # type: ignore[arg-type]
    one.add_argument("version", metavar="VERSION", help="v1.2.3, or sha- and a commit")
    one.add_argument("--output", type=Path, metavar="FILE", help="write the plan as JSON")
    one.set_defaults(run=show_plan)

    one = commands.add_parser("apply", help="release a version")
    one.add_argument("environment", **environments)  # type: ignore[arg-type]
    one.add_argument("version", metavar="VERSION", help="v1.2.3, or sha- and a commit")
    one.add_argument("--plan", type=Path, metavar="FILE", help="only if this plan still holds")
    one.add_argument("--approved-by", metavar="NAME", help="who approved; else you are asked")
    one.set_defaults(run=apply)

    one = commands.add_parser("rollback", help="release a former version again, as it was")
    one.add_argument("environment", **environments)  # type: ignore[arg-type]
    one.add_argument("version", metavar="VERSION", nargs="?", help="else the previous one")
    one.add_argument("--approved-by", metavar="NAME", help="who approved; else you are asked")
    one.set_defaults(run=roll_back)

    one = commands.add_parser("monitoring", help="start or change what watches the service")
    one.add_argument("environment", **environments)  # type: ignore[arg-type]
    one.add_argument("--approved-by", metavar="NAME", help="who approved; else you are asked")
    one.set_defaults(run=set_up_monitoring)

    for name, run, text in (
        ("status", show_status, "what the server runs"),
        ("history", show_history, "the releases, newest last"),
    ):
        one = commands.add_parser(name, help=text)
        one.add_argument("environment", **environments)  # type: ignore[arg-type]
        one.set_defaults(run=run)

    one = commands.add_parser("verified", help="note in the registry that staging ran an image")
    one.add_argument("commit", metavar="COMMIT")
    one.add_argument("digest", metavar="DIGEST")
    one.set_defaults(run=mark_verified)

    one = commands.add_parser("promote", help="give the image that staging verified a version")
    one.add_argument("commit", metavar="COMMIT")
    one.add_argument("version", metavar="VERSION")
    one.set_defaults(run=promote)
    return parser


if __name__ == "__main__":
    sys.exit(main())
