"""The template's repository: its commits, its releases, a folder with the files of one."""

import re
from pathlib import Path

from tools.template.errors import TemplateError
from tools.template.git import GitError, git
from tools.template.record import without_token

RELEASE = re.compile(r"v?(\d+(?:\.\d+)+)")


class Source:
    """A copy of the template's repository.

    Args:
        address: where it is fetched from; a token in it is told nobody.
        folder: where the copy is put, a new one.

    Raises:
        TemplateError: it cannot be reached.
    """

    def __init__(self, address: str, folder: Path) -> None:
        self.address = without_token(address)
        self._copy = folder / "template.git"
        try:
            git(folder, "clone", "--quiet", "--bare", "--", address, str(self._copy))
        except GitError as error:
            raise TemplateError(
                f"The template {self.address} cannot be fetched ({error.reason}): see that it is "
                "there and that you may read it, or name its new address by TEMPLATE=."
            ) from error

    def commit(self, ref: str) -> str | None:
        """Return the commit that a ref names; None where there is none."""
        try:
            return git(self._copy, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").strip()
        except GitError:
            return self._fetched(ref)

    def newest(self, commit: str | None) -> str:
        """Return the ref of the newest release, or the default branch where there is none.

        A project whose commit is later than every release stays where it is.
        """
        tags = git(self._copy, "tag", "--list").split()
        releases = {tag: match[1] for tag in tags if (match := RELEASE.fullmatch(tag))}
        if not releases:
            return "HEAD"
        newest = max(releases, key=lambda tag: [int(n) for n in releases[tag].split(".")])
        return commit if commit and self._contains(commit, newest) else newest

    def check_out(self, commit: str, folder: Path) -> Path:
        """Write the files of a commit into a new folder."""
        git(self._copy, "worktree", "add", "--quiet", "--detach", str(folder), commit)
        return folder

    def _contains(self, commit: str, ref: str) -> bool:
        try:
            git(self._copy, "merge-base", "--is-ancestor", ref, commit)
        except GitError:
            return False
        return True

    def _fetched(self, ref: str) -> str | None:
        """Return a commit that no branch holds any more, where the server still has it."""
        if not re.fullmatch(r"[0-9a-f]{40}", ref):
            return None
        try:
            git(self._copy, "fetch", "--quiet", "origin", ref)
        except GitError:
            return None
        return ref
