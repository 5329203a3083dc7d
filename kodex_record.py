"""Where a project comes from: the content of its ``.cruft.json``, in the form that cruft reads."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent
# For an archive, which does not say where it was made.
HOME = "https://github.com/org/kodex-template.git"
COMMIT = re.compile(r"[0-9a-f]{40}")
VERSIONS = ("_template_version", "_guideline_version")


def record(answers: Mapping[str, object]) -> str:
    """Return the template's address and commit, and the answers, as JSON.

    The commit is null where none holds what was rendered: changes that are not committed, or a
    folder that is no repository.
    """
    commit = head_commit()
    archived = (ROOT / ".git_archival.txt").read_text("utf-8").strip()
    from_archive = commit is None and COMMIT.fullmatch(archived)
    template = HOME if from_archive else address(commit)
    kept = {name: value for name, value in answers.items() if not name.startswith("_")}
    kept |= {"_template": template} | {name: answers[name] for name in VERSIONS}
    state = {
        "template": template,
        "commit": archived if from_archive else commit,
        "checkout": answers.get("_checkout"),
        "context": {"cookiecutter": kept},
        "directory": None,
    }
    text = json.dumps(state, ensure_ascii=False, indent=2)
    return text.encode("utf-8", "ignore").decode("utf-8")


def head_commit() -> str | None:
    """Return the commit that holds the template as it is; None where there is none."""
    if not (ROOT / ".git").exists():  # a repository around it is not its own
        return None
    lines = git("status", "--porcelain=v2", "--branch").splitlines()
    if any(not line.startswith("#") for line in lines):
        return None
    heads = [line.split()[-1] for line in lines if line.startswith("# branch.oid ")]
    return heads[0] if heads and COMMIT.fullmatch(heads[0]) else None


def address(commit: str | None) -> str:
    """Return the repository that others reach, if it has the commit; else the folder."""
    origin = git("config", "--get", "remote.origin.url").strip() if commit else ""
    if origin and git("branch", "--remotes", "--contains", "HEAD"):
        if "://" not in origin and (ROOT / origin).exists():
            return str((ROOT / origin).resolve())
        return re.sub(r"^(https?://)[^/@]*@", r"\1", origin)  # a token may stand there
    return str(ROOT.resolve())


def git(*arguments: str) -> str:
    """Return what git says of the template; nothing where it cannot."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_DIR")}
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=own)
    except OSError:  # no git: an archive was unpacked
        return ""
    return done.stdout
