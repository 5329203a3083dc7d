"""The template's change, merged with this project's own, by git.

Three commits in a repository beside the project's: *base*, rendered from the recorded commit;
*theirs*, rendered from the new one; and the project's own HEAD. Picking *theirs* (a change of
*base*) onto HEAD is the three-way merge, with renames followed and conflicts marked by git.
"""

from dataclasses import dataclass
from pathlib import Path

from tools.template.errors import TemplateError
from tools.template.git import GitError, git, paths

THEIRS = "refs/heads/theirs"
MERGED = "refs/heads/merged"
IDENTITY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "kodex-template"), ("EMAIL", "kodex-template@localhost"))
}
# Files as they are, whatever the person's own settings say.
AS_IS = (
    "core.autocrlf=false",
    "core.safecrlf=false",
    "core.fileMode=true",
    "core.hooksPath=/dev/null",
)
PICK = ("rerere.enabled=false", "merge.renames=true", "merge.conflictStyle=merge")


@dataclass(frozen=True)
class Merged:
    """What an update would make of HEAD.

    Args:
        conflicts: paths where the project and the template have changed the same lines.
        left_out: paths that the project has deleted and the template has changed.
    """

    conflicts: list[str]
    left_out: list[str]


class Workbench:
    """A repository beside the project's, which sees its commits and changes nothing there.

    Args:
        project: the project's folder.
        folder: a folder for the repository, a new one.
    """

    def __init__(self, project: Path, folder: Path) -> None:
        self.folder = folder
        common = Path(git(project, "rev-parse", "--git-common-dir").strip())
        objects = (project / common / "objects").resolve()
        head = git(project, "rev-parse", "HEAD").strip()
        git(folder.parent, "init", "--quiet", str(folder))
        for setting in (*AS_IS, "gc.auto=0", "commit.gpgSign=false"):
            git(folder, "config", *setting.split("=", 1))
        (folder / ".git/objects/info/alternates").write_text(f"{objects}\n", "utf-8")
        git(folder, "update-ref", "refs/heads/ours", head)
        self.head = head

    def merge(self, base: Path, theirs: Path, message: str) -> Merged:
        """Merge what leads from one rendering to another into HEAD; leave it in the folder.

        Both renderings are brought to the project's line ends, and lose what it has deleted.
        """
        self._match_line_ends(base, theirs)
        first = self._commit(base, "base")
        deleted = self._deleted(first)
        changed = self._changed(first, self._commit(theirs, "theirs", first))
        for path in deleted:
            for rendering in (base, theirs):
                (rendering / path).unlink(missing_ok=True)
        first = self._commit(base, "base")
        second = self._commit(theirs, message, first)
        git(self.folder, "update-ref", THEIRS, second)
        git(self.folder, "checkout", "--quiet", "--force", "--detach", self.head)
        pick(self.folder, "--no-commit", second)
        conflicts = unmerged(self.folder)
        git(self.folder, "add", "--all", "--force")
        tree = git(self.folder, "write-tree").strip()
        merged = ("commit-tree", tree, "-p", self.head, "-p", second, "-m", "merged")
        commit = git(self.folder, *merged, variables=IDENTITY).strip()
        git(self.folder, "update-ref", MERGED, commit)
        return Merged(conflicts, sorted(deleted & changed))

    def changes(self) -> list[str]:
        """Return the paths that differ between HEAD and the merge."""
        return paths(git(self.folder, "diff", "--cached", "--name-only", "--no-renames", "-z"))

    def difference(self, path: str) -> str:
        """Return what the merge does to a file, as a patch."""
        return git(self.folder, "diff", "--cached", "--no-color", "--no-ext-diff", "--", path)

    def added(self) -> list[str]:
        """Return the paths that the merge adds to HEAD."""
        options = ("--cached", "--name-only", "--no-renames", "--diff-filter=A", "-z")
        return paths(git(self.folder, "diff", *options))

    def _commit(self, rendering: Path, message: str, *parents: str) -> str:
        """Make a commit of a rendering's files, all of them."""
        index = {"GIT_INDEX_FILE": str(self.folder / ".git" / "rendering")}
        files = (f"--git-dir={self.folder / '.git'}", f"--work-tree={rendering}")
        git(rendering, *files, "read-tree", "--empty", variables=index)
        git(rendering, *files, "add", "--all", "--force", ".", variables=index)
        tree = git(rendering, *files, "write-tree", variables=index).strip()
        options = [part for parent in parents for part in ("-p", parent)]
        command = ("commit-tree", tree, *options, "-m", message)
        return git(self.folder, *command, variables=IDENTITY).strip()

    def _deleted(self, base: str) -> set[str]:
        """Return what the project has deleted since, and not renamed."""
        options = ("--name-only", "--find-renames", "--diff-filter=D", "-z", base, self.head)
        return set(paths(git(self.folder, "diff", *options)))

    def _changed(self, base: str, theirs: str) -> set[str]:
        return set(
            paths(git(self.folder, "diff", "--name-only", "--no-renames", "-z", base, theirs))
        )

    def _match_line_ends(self, *renderings: Path) -> None:
        """Give files whose lines end in CRLF in the project such ends in the renderings."""
        git(self.folder, "read-tree", self.head)
        for line in paths(git(self.folder, "ls-files", "--eol", "-z")):
            kinds, _, path = line.partition("\t")
            if not kinds.startswith("i/crlf"):
                continue
            for rendering in renderings:
                file = rendering / path
                if file.is_file() and b"\r\n" not in (content := file.read_bytes()):
                    file.write_bytes(content.replace(b"\n", b"\r\n"))


def pick(folder: Path, *arguments: str) -> None:
    """Apply a commit's change onto HEAD; conflicts stay in the files.

    Raises:
        TemplateError: git can apply nothing.
    """
    settings = [part for setting in PICK for part in ("-c", setting)]
    try:
        git(
            folder,
            *settings,
            "cherry-pick",
            "--allow-empty",
            "--keep-redundant-commits",
            *arguments,
        )
    except GitError as error:
        if not unmerged(folder):
            raise TemplateError(
                f"git could not commit the merge ({error.reason}): mend that, then git cherry-pick "
                "--continue; or go back with git cherry-pick --abort."
            ) from error


def unmerged(folder: Path) -> list[str]:
    """Return the paths with conflicts that are not resolved."""
    return paths(git(folder, "diff", "--name-only", "--diff-filter=U", "-z"))
