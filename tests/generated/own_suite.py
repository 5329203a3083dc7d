"""A project's own suite, with its own coverage gate, and the coverage of every file noted."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

DATA = ".coverage-of-every-file"
CONFIGURATION = ".coverage-of-every-file.ini"


def command(project: Path, python: Path) -> list[str]:
    """Return what runs the suite: `make test`, which looks at the files of tools and tests too.

    The gate stays the project's: what it counts, and how much has to be covered.
    """
    own = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["tool"]["coverage"]
    counted = ",".join(f"{folder}/*" for folder in own["run"]["source"])
    (project / CONFIGURATION).write_text(
        f"[run]\nsource=.\nbranch={own['run']['branch']}\ndata_file={DATA}\n"
        f"[report]\ninclude={counted}\nfail_under={own['report']['fail_under']}\n",
        "utf-8",
    )
    options = "--cov", f"--cov-config={CONFIGURATION}", "-p", "no:cacheprovider"
    return [str(python), "-m", "pytest", *options]


def executed_files(project: Path, python: Path) -> set[str]:
    """Return the Python files that the suite has imported, and whose code it has run.

    A file without functions has run when it was imported; of another one at least one function has
    to have run. The body of a Protocol's method is no code.
    """
    report = ["json", f"--data-file={DATA}", "--rcfile=/dev/null", "--quiet", "-o", "-"]
    done = subprocess.run(
        [str(python), "-m", "coverage", *report], cwd=project, check=True, capture_output=True
    )
    files: dict[str, Any] = json.loads(done.stdout)["files"]
    return {name for name, file in files.items() if _has_run(file)}


def _has_run(file: dict[str, Any]) -> bool:
    functions = [part for name, part in file["functions"].items() if name]
    code = [part for part in functions if part["summary"]["num_statements"]]
    if code:
        return any(part["executed_lines"] for part in code)
    return bool(file["executed_lines"]) or not file["summary"]["num_statements"]
