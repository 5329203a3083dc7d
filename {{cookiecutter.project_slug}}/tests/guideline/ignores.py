"""What is left out: ``.gitignore`` as git itself has it, ``.dockerignore`` as BuildKit has it."""

import os
import posixpath
import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path

# Nothing of the machine's or the user's own configuration counts, nor a surrounding repository.
PLAIN_GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "LC_ALL": "C",
}
ESCAPED = ".+()|{}$"


def git(*arguments: str, folder: Path) -> str | None:
    """Return what git prints, or None where it fails or is missing."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-c", "safe.directory=*", *arguments],
            cwd=folder,
            env={**own, **PLAIN_GIT},
            check=False,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
        )
    except OSError:
        return None
    return done.stdout if done.returncode in {0, 1} else None


def tracked(root: Path) -> dict[str, int] | None:
    """Return the files that git tracks and their modes, None where the folder is no repository.

    A repository that merely surrounds the folder without tracking any of it does not count.
    """
    listed = git("ls-files", "-z", "--stage", folder=root)
    if not listed:
        return {} if (root / ".git").exists() else None
    rows = (row.split("\t", 1) for row in listed.split("\0") if row)
    return {name: int(state.split()[0], 8) for state, name in rows}


def git_ignores(root: Path, *paths: str) -> set[str]:
    """Return those of the paths that the project's own ``.gitignore`` files leave out."""
    found = _git_without_index(root, "check-ignore", "--no-index", "--", *paths)
    return set((found or "").splitlines())


def not_ignored(root: Path) -> list[str] | None:
    """Return the files that the project's own ``.gitignore`` files let in, None without git."""
    listed = _git_without_index(root, "ls-files", "-z", "--others", "--exclude-standard")
    return None if listed is None else [name for name in listed.split("\0") if name]


def _git_without_index(root: Path, *arguments: str) -> str | None:
    """Return what git prints of a folder in which it tracks nothing."""
    with tempfile.TemporaryDirectory() as scratch:
        git("init", "--quiet", "--template=", scratch, folder=root)
        return git(f"--git-dir={scratch}/.git", f"--work-tree={root}", *arguments, folder=root)


def ignore_file(context: Path, dockerfile: str = "Dockerfile") -> Path | None:
    """Return the ``.dockerignore`` of a build: the Dockerfile's own one first.

    Args:
        context: the folder that is sent to the builder.
        dockerfile: path, relative to the context.
    """
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        if (context / name).is_file():
            return context / name
    return None


def docker_ignores(root: Path, path: str, dockerfile: str = "Dockerfile") -> bool:
    """Tell whether a file of a build's context is kept from the builder.

    Args:
        root: the context.
        path: relative to it, with slashes.
        dockerfile: path, relative to the context.
    """
    file = ignore_file(root, dockerfile)
    if file is None:
        return False
    parts = posixpath.normpath(path).split("/")
    above = ["/".join(parts[:number]) for number in range(1, len(parts) + 1)]
    ignored = False
    for pattern, exception in _patterns(file.read_text("utf-8-sig", "replace")):
        # A pattern that matches a folder matches what is in it; the last match decides.
        if any(pattern.fullmatch(one) for one in above):
            ignored = not exception
    return ignored


@cache
def _patterns(content: str) -> tuple[tuple[re.Pattern[str], bool], ...]:
    found = []
    for line in content.splitlines():
        text = line.strip()
        if line.startswith("#") or not text:
            continue
        exception = text.startswith("!")
        text = text.removeprefix("!").strip() if exception else text
        if not text:
            continue
        cleaned = posixpath.normpath(re.sub(r"^/+", "/", text))
        cleaned = cleaned[1:] if len(cleaned) > 1 and cleaned.startswith("/") else cleaned
        try:
            found.append((re.compile(_expression(cleaned)), exception))
        except re.error:  # the builder refuses such a pattern
            continue
    return tuple(found)


def _expression(pattern: str) -> str:
    """Return a pattern as a regular expression: ``*`` ends at a slash, ``**`` does not."""
    made, at = "", 0
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("**", at):
            at += 2
            at += pattern.startswith("/", at)
            made += ".*" if at >= len(pattern) else "(?:.*/)?"
            continue
        if char == "*":
            made += "[^/]*"
        elif char == "?":
            made += "[^/]"
        elif char == "\\" and at + 1 < len(pattern):
            at += 1
            made += re.escape(pattern[at])
        else:
            made += f"\\{char}" if char in ESCAPED or char == "\\" else char
        at += 1
    return made
