"""An update that was killed while git wrote its files: found by its mark, and taken back."""

import json
from pathlib import Path

from tools.template.errors import TemplateError
from tools.template.git import GitError, git, paths

MARK = "kodex-template-update"


def mark(project: Path, merged: str) -> None:
    """Note that git is about to write a merge into the work tree, which is clean.

    Args:
        project: the project's folder.
        merged: a commit with the files that git will write.
    """
    head = git(project, "rev-parse", "HEAD").strip()
    _file(project).write_text(json.dumps({"head": head, "merged": merged}), "utf-8")


def unmark(project: Path) -> None:
    """Note that git has done so."""
    _file(project).unlink(missing_ok=True)


def take_back(project: Path) -> None:
    """Bring the work tree back to where it was before an update that was killed.

    Raises:
        TemplateError: somebody has worked there since.
    """
    try:
        noted = json.loads(_file(project).read_text("utf-8"))
    except (OSError, ValueError):
        return
    if noted["head"] != git(project, "rev-parse", "HEAD").strip() or _pick_stands(project):
        unmark(project)
        return
    for lock in ("index.lock", "HEAD.lock"):
        _git_path(project, lock).unlink(missing_ok=True)
    merged = noted["merged"]
    touched = paths(git(project, "diff", "--name-only", "--no-renames", "-z", "HEAD", merged))
    changed = set(paths(git(project, "diff", "--name-only", "--no-renames", "-z", "HEAD")))
    theirs = [path for path in changed if path not in touched]
    theirs += [path for path in touched if not _is_ours(project, path, merged)]
    if theirs:
        raise TemplateError(
            f"An update was interrupted, and files have changed since ({', '.join(theirs[:3])}): "
            "save what you need of them, git reset --hard, then run this again."
        )
    new = paths(
        git(project, "diff", "--name-only", "--no-renames", "--diff-filter=A", "-z", "HEAD", merged)
    )
    git(project, "reset", "--quiet", "--hard")
    for path in new:
        (project / path).unlink(missing_ok=True)
    unmark(project)


def _is_ours(project: Path, path: str, merged: str) -> bool:
    """Tell whether a file is as it was, as the update makes it, or begun and empty."""
    file = project / path
    if not file.is_file():
        return True
    content = git(project, "hash-object", "--path", path, str(file)).strip()
    for commit in ("HEAD", merged):
        try:
            if git(project, "rev-parse", f"{commit}:{path}").strip() == content:
                return True
        except GitError:
            continue
    return not file.stat().st_size


def _pick_stands(project: Path) -> bool:
    return _git_path(project, "CHERRY_PICK_HEAD").exists()


def _file(project: Path) -> Path:
    return _git_path(project, MARK)


def _git_path(project: Path, name: str) -> Path:
    return project / git(project, "rev-parse", "--git-path", name).strip()
