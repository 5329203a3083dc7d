"""Says what the template has that this project lacks, and merges it: ``make template-update``."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.template import report
from tools.template.errors import TemplateError
from tools.template.git import GitError, git
from tools.template.interrupted import mark, take_back, unmark
from tools.template.merging import pick, unmerged
from tools.template.record import FILE
from tools.template.update import Update, Wanted, check_repository, worked_out

PROJECT = Path()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, or 1 when there is something to do, or 2 with one sentence."""
    options = _parser().parse_args(arguments)
    try:
        answers = _answers(options.answers)
        wanted = Wanted(options.ref, options.base, options.template, answers)
        status: int = options.run(wanted, options)
    except TemplateError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except GitError as error:
        print(f"Error: git has failed: {error.reason}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command again.", file=sys.stderr)
        return 2
    return status


def check(wanted: Wanted, _options: argparse.Namespace) -> int:
    """Say whether the template has something newer; 1 if so."""
    with worked_out(PROJECT, wanted) as update:
        if not update.is_needed:
            _say_up_to_date(update)
            return 0
        print(f"There is something newer: {report.versions(update)}.")
        conflicts = len(update.merged.conflicts)
        print(
            f"{len(update.changes)} files would change, {conflicts} with conflicts. "
            "make template-diff shows it, make template-update merges it."
        )
        return 1


def diff(wanted: Wanted, options: argparse.Namespace) -> int:
    """Print what an update would do to this project, by clause of the guideline."""
    with worked_out(PROJECT, wanted) as update:
        if options.markdown:
            print(report.markdown(update), end="")
        elif not update.is_needed:
            _say_up_to_date(update)
        else:
            print(f"{report.versions(update)}".capitalize())
            for line in report.patch(update):
                print(line)
    return 0


def update(wanted: Wanted, options: argparse.Namespace) -> int:
    """Merge the template's change on a branch of its own; 1 with conflicts."""
    check_repository(PROJECT)
    take_back(PROJECT)
    _check_clean()
    _check_identity()
    with worked_out(PROJECT, wanted) as made:
        if not made.is_needed:
            _say_up_to_date(made)
            return 0
        _check_free(made)
        print(f"{report.versions(made)}".capitalize())
        for line in report.summary(made):
            print(line)
        _switch(made.branch)
        _merge(made)
        conflicts = unmerged(PROJECT)
        if conflicts and options.commit_conflicts:
            git(PROJECT, "add", "--all", "--", *conflicts)
            git(PROJECT, "cherry-pick", "--continue")
    print()
    if not conflicts:
        print(f"Merged without conflicts, on the branch {made.branch}.")
        return 0
    for path in conflicts:
        print(f"CONFLICT {path}")
    print(
        f"{len(conflicts)} files have conflicts, marked as git marks them, on the branch "
        f"{made.branch}."
    )
    if not options.commit_conflicts:
        print(
            "Edit them, git add them, and git cherry-pick --continue; or git cherry-pick --abort."
        )
    return 1


def _say_up_to_date(update: Update) -> None:
    template, guideline = update.before.versions
    print(f"Up to date with template {template} (guideline {guideline}).")


def _check_clean() -> None:
    """Raise `TemplateError` where work would be mixed with the update."""
    if unmerged(PROJECT) or _git_file("CHERRY_PICK_HEAD").exists():
        raise TemplateError(
            "An update is not finished: edit the files with conflicts, git add them, and git "
            "cherry-pick --continue; or go back with git cherry-pick --abort."
        )
    changed = git(PROJECT, "status", "--porcelain", "--untracked-files=no").splitlines()
    if changed:
        names = ", ".join(line[3:] for line in changed[:3]) + (" ..." if changed[3:] else "")
        raise TemplateError(
            f"There are changes that are not committed ({names}): commit or stash them first."
        )


def _check_free(update: Update) -> None:
    """Raise `TemplateError` where the update would write over files that git does not have."""
    in_the_way = [path for path in update.bench.added() if (PROJECT / path).exists()]
    if in_the_way:
        raise TemplateError(
            f"The template brings files that are here, but not in git: {', '.join(in_the_way)}. "
            f"Commit them or move them away."
        )


def _check_identity() -> None:
    """Raise `TemplateError` where git does not know who commits."""
    try:
        git(PROJECT, "var", "GIT_COMMITTER_IDENT")
    except GitError as error:
        raise TemplateError(
            "git does not know who you are: git config user.name and git config user.email."
        ) from error


def _switch(branch: str) -> None:
    """Go to the update's branch, which begins here.

    Raises:
        TemplateError: it is there already, with commits of its own.
    """
    try:
        git(PROJECT, "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}")
    except GitError:
        git(PROJECT, "switch", "--quiet", "--create", branch)
        return
    try:
        git(PROJECT, "merge-base", "--is-ancestor", branch, "HEAD")
    except GitError as error:
        raise TemplateError(
            f"The branch {branch} is there already, with commits of its own: merge it, or delete "
            f"it (git branch -D {branch}), then run this again."
        ) from error
    git(PROJECT, "switch", "--quiet", "--force-create", branch)


def _merge(update: Update) -> None:
    """Merge the template's change into the work tree, and commit it where nothing conflicts."""
    merged, theirs = git(update.bench.folder, "rev-parse", "merged", "theirs").split()
    bench = str(update.bench.folder)
    git(PROJECT, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", bench, "merged")
    mark(PROJECT, merged)
    pick(PROJECT, theirs)
    unmark(PROJECT)


def _git_file(name: str) -> Path:
    return PROJECT / git(PROJECT, "rev-parse", "--git-path", name).strip()


def _answers(text: str) -> dict[str, str]:
    """Return the answers of ``name=value name='a value'``.

    Raises:
        TemplateError: a part has no such form.
    """
    try:
        parts = [part.partition("=") for part in shlex.split(text)]
    except ValueError as error:
        raise TemplateError("ANSWERS has a quote without its end.") from error
    for name, equals, _ in parts:
        if not (name and equals):
            raise TemplateError(f"ANSWERS: {name!r} is no name=value, such as device=gpu.")
    return {name: value for name, _, value in parts}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.template",
        description=f"Compares and merges this project with its template; {FILE} says which.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("check", check, "say whether the template has something newer"),
        ("diff", diff, "show what an update would do to this project"),
        ("update", update, "merge the template's change on a branch"),
    ):
        one = commands.add_parser(name, help=text)
        one.add_argument("ref", nargs="?", default="", metavar="REF", help="a tag or a commit")
        one.add_argument("--from", dest="base", default="", metavar="REF", help="the old state")
        one.add_argument("--template", default="", metavar="URL", help="its new address")
        one.add_argument("--answers", default="", metavar="'NAME=VALUE ...'", help="new answers")
        one.set_defaults(run=run)
        if name == "diff":
            one.add_argument("--markdown", action="store_true", help="for a pull request")
        if name == "update":
            one.add_argument(
                "--commit-conflicts", action="store_true", help="commit the files with their marks"
            )
    return parser


if __name__ == "__main__":
    sys.exit(main())
