"""An update, worked out beside the project: what would change, and where it conflicts."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.template import clauses as guideline
from tools.template import record, rendering
from tools.template.errors import TemplateError
from tools.template.git import GitError, git
from tools.template.merging import Merged, Workbench
from tools.template.record import Record
from tools.template.source import Source


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Args:
        ref: state of the template to go to; empty for the newest release.
        base: state that the project was made from; empty for the recorded one.
        address: of the template; empty for the recorded one.
        answers: those that change.
    """

    ref: str = ""
    base: str = ""
    address: str = ""
    answers: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Update:
    """An update that has been worked out.

    Args:
        before: the project's record.
        after: the record that the update brings.
        merged: conflicts, and what was left out.
        dropped: answers that the new template does not ask for.
        clauses: the new template's clauses of the guideline.
        bench: holds the merge.
    """

    before: Record
    after: Record
    merged: Merged
    dropped: list[str]
    clauses: list[guideline.Clause]
    bench: Workbench

    @property
    def changes(self) -> list[str]:
        """Paths that change, but for the record itself."""
        return [path for path in self.bench.changes() if path != record.FILE]

    @property
    def is_needed(self) -> bool:
        """Tell whether there is anything to merge."""
        return bool(self.changes or self.merged.conflicts)

    @property
    def branch(self) -> str:
        """The branch that the update goes to."""
        return f"feature/template-{self.after.versions[0]}"

    @property
    def groups(self) -> list[guideline.Group]:
        """Changed files by clause."""
        return guideline.grouped(self.changes, self.clauses)


@contextmanager
def worked_out(project: Path, wanted: Wanted) -> Iterator[Update]:
    """Render, merge, and yield what an update would do; the project is only read.

    Raises:
        TemplateError: the record, the template, a ref or an answer is not as it must be.
    """
    check_repository(project)
    before = record.read(project)
    with TemporaryDirectory(prefix="template-") as name:
        folder = Path(name).resolve()
        if wanted.address:
            before = before.at(wanted.address)
        source = Source(before.template, folder)
        base = _base(source, before, wanted.base)
        ref = wanted.ref or source.newest(base)
        commit = source.commit(ref)
        if commit is None:
            raise TemplateError(f"{ref}: the template {source.address} has no such tag or commit.")
        skipped = rendering.skipped_by(project, before.text)
        old = rendering.render(
            source.check_out(base, folder / "base"), before.answers, folder / "old", skipped
        )
        new = rendering.render(
            source.check_out(commit, folder / "theirs"),
            before.answers | dict(wanted.answers or {}),
            folder / "new",
            skipped,
        )
        unknown = sorted(set(new.dropped) & set(wanted.answers or {}))
        if unknown:
            raise TemplateError(f"{', '.join(unknown)}: the template asks for no such answer.")
        after = before.moved(commit, wanted.ref or None, record.read(new.folder))
        (old.folder / record.FILE).write_text(before.text, "utf-8")
        (new.folder / record.FILE).write_text(after.text, "utf-8")
        known = guideline.read(new.folder, after.answers.get("docs_language", "en"))
        bench = Workbench(project, folder / "bench")
        message = f"chore: update the template to {after.versions[0]}"
        merged = bench.merge(old.folder, new.folder, message)
        yield Update(before, after, merged, new.dropped, known, bench)


def check_repository(project: Path) -> None:
    """Raise `TemplateError` where the project is no git repository with a commit of its record."""
    try:
        top = Path(git(project, "rev-parse", "--show-toplevel").strip())
    except (GitError, OSError) as error:
        raise TemplateError(
            "This folder is no git repository: make it one (git init), and commit the project."
        ) from error
    if top.resolve() != project.resolve():
        raise TemplateError(f"This folder is a part of the repository {top}: run this at its top.")
    try:
        git(project, "cat-file", "-e", f"HEAD:{record.FILE}")
    except GitError as error:
        if (project / record.FILE).exists():
            raise TemplateError(
                f"{record.FILE} is not committed: commit the project as it is, then run this again."
            ) from error


def _base(source: Source, before: Record, named: str) -> str:
    """Return the commit that the project was made from.

    Raises:
        TemplateError: it is not recorded, or not there any more.
    """
    hint = "name the tag or commit of the template that it was made from by FROM=."
    if not named and before.commit is None:
        raise TemplateError(
            "This project was made from a state of the template that was never committed: " + hint
        )
    commit = source.commit(named or before.commit or "")
    if commit is None and named:
        raise TemplateError(f"{named}: the template {source.address} has no such tag or commit.")
    if commit is None:
        raise TemplateError(
            f"The template {source.address} has no commit {before.commit} any more, which this "
            f"project was made from (was its history rewritten?): {hint}"
        )
    return commit
