"""Makes the real programs of monitoring available: unpacked from Debian's packages, not installed.

From `SUITE`, whose Prometheus is 2.53, a release with long support; Debian 12 has 2.42.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.environments import CACHE, ROOT, alone_with

SUITE = "trixie"
PACKAGES = ("prometheus", "prometheus-alertmanager", "prometheus-blackbox-exporter", "promtool")
TEMPLATES = Path("/usr/share/prometheus/alertmanager")
# The mirror, as apt's own configuration of this machine names it.
MIRROR = f". '{ROOT}/tools/debian-mirror.sh' && echo \"$mirror\""


class ProgramsError(Exception):
    """The programs cannot be had here; the text says why."""


@dataclass(frozen=True)
class Programs:
    """Where each program is."""

    folder: Path

    @property
    def prometheus(self) -> Path:
        """The server that scrapes, records and alerts."""
        return self.folder / "prometheus"

    @property
    def promtool(self) -> Path:
        """What checks its configuration and tests its rules."""
        return self.folder / "promtool"

    @property
    def alertmanager(self) -> Path:
        """What tells people of alerts."""
        return self.folder / "prometheus-alertmanager"

    @property
    def amtool(self) -> Path:
        """What checks its configuration."""
        return self.folder / "amtool"

    @property
    def blackbox(self) -> Path:
        """What asks the service from outside."""
        return self.folder / "prometheus-blackbox-exporter"


def programs() -> Programs:
    """Return the programs, fetched when they are not there.

    Raises:
        ProgramsError: there is no apt, or no package.
    """
    folder = CACHE / "monitoring"
    done = folder / ".complete"
    with alone_with(folder):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _fetch(folder)
            done.touch()
        _place_templates(folder / f"root{TEMPLATES}")
    return Programs(folder / "root/usr/bin")


def _place_templates(unpacked: Path) -> None:
    """Put Alertmanager's templates where Debian's build of it looks for them, and nowhere else.

    Raises:
        ProgramsError: only root may.
    """
    if TEMPLATES.exists():
        return
    try:
        TEMPLATES.parent.mkdir(parents=True, exist_ok=True)
        TEMPLATES.unlink(missing_ok=True)  # a link into a folder that has been removed since
        TEMPLATES.symlink_to(unpacked)
    except OSError as error:
        raise ProgramsError(
            f"{TEMPLATES} cannot be made ({error.strerror}): run as root once."
        ) from error


def _fetch(folder: Path) -> None:
    """Unpack the packages; apt keeps its lists here, and this machine's own stay as they are."""
    if not shutil.which("apt-get"):
        raise ProgramsError(f"Debian's apt-get is needed to fetch {', '.join(PACKAGES)}.")
    (folder / "lists/partial").mkdir(parents=True)
    (folder / "archives/partial").mkdir(parents=True)
    source = folder / "sources.list"
    source.write_text(f"deb {_run('bash', '-c', MIRROR).strip()} {SUITE} main\n", "utf-8")
    options = {
        "APT::Sandbox::User": "root",
        "Dir::Cache": folder,
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::Etc::SourceList": source,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
    }
    apt = ["apt-get", "--quiet=2", *(f"--option={key}={value}" for key, value in options.items())]
    _run(*apt, "update")
    _run(*apt, "download", *PACKAGES, folder=folder)
    for package in folder.glob("*.deb"):
        _run("dpkg-deb", "--extract", str(package), str(folder / "root"))
        package.unlink()
    shutil.rmtree(folder / "lists")


def _run(*command: str, folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise ProgramsError(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout
