"""git, as a function."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

# Never waits for a person: a password that git would ask for is an error here.
QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_EDITOR": "true", "LC_ALL": "C.UTF-8"}
SSH = "ssh -o BatchMode=yes"
# The name and the token that may stand in an address.
ADDRESS_TOKEN = re.compile(r"(https?://)[^/\s@']*@")


class GitError(Exception):
    """git has failed.

    Args:
        status: its exit status.
        said: what it wrote to standard error.
        output: what it wrote to standard output.
    """

    def __init__(self, status: int, said: str, output: str) -> None:
        super().__init__(said)
        self.status = status
        self.output = output

    @property
    def reason(self) -> str:
        """The last line that says why, without git's own prefix."""
        lines = [line for line in str(self).splitlines() if line.strip()]
        told = [line for line in lines if line.startswith(("fatal: ", "error: "))]
        if told:
            return ADDRESS_TOKEN.sub(r"\1", told[-1].partition(": ")[2]).rstrip(".")
        return " ".join(lines[-3:]).rstrip(".") or f"exit status {self.status}"


def git(folder: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> str:
    """Run git in a folder; return what it prints.

    Raises:
        GitError: it has failed.
    """
    # A hook of git, or a shell that one started, names its own repository.
    inherited = {k: v for k, v in os.environ.items() if k not in {"GIT_DIR", "GIT_INDEX_FILE"}}
    inherited.setdefault("GIT_SSH_COMMAND", SSH)
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        check=False,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
        errors="surrogateescape",
        env={**inherited, **QUIET, **(variables or {})},
    )
    if done.returncode != 0:
        raise GitError(done.returncode, done.stderr, done.stdout)
    return done.stdout


def paths(output: str) -> list[str]:
    """Return the paths of an output that ends each by a null character (``-z``)."""
    return [path for path in output.split("\0") if path]
