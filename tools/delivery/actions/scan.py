"""Compares the packages of a pushed image with a list of advisories.

    python -m tools.delivery.actions.scan IMAGE@DIGEST

The packages are those of the image's SBOM in the registry. SEVERITY, IGNORE_UNFIXED and EXIT_CODE
are the inputs of the action; STAND_IN_ADVISORIES names another list than ``advisories.json``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from packaging.version import Version

from tools.delivery.actions.attest import SPDX
from tools.delivery.actions.repository import Repository

PURL = re.compile(r"pkg:(deb/debian|pypi)/([^@]+)@([^?]+)")


def main(reference: str) -> int:
    """Print every finding that counts; return the exit status that the action asks for."""
    severities = os.environ["SEVERITY"].split(",")
    ignore_unfixed = os.environ["IGNORE_UNFIXED"] == "true"
    list_of = Path(
        os.environ.get("STAND_IN_ADVISORIES") or Path(__file__).parent / "advisories.json"
    )
    installed = packages(reference)
    found = 0
    for advisory in json.loads(list_of.read_text("utf-8")):
        version = installed.get((advisory["kind"], advisory["package"]))
        fixed = advisory["fixed"]
        if version is None or advisory["severity"] not in severities:
            continue
        if (ignore_unfixed and fixed is None) or not affected(advisory["kind"], version, fixed):
            continue
        found += 1
        fix = f"fixed in {fixed}" if fixed else "no fix"
        name = f"{advisory['package']} {version}"
        print(f"::error::{advisory['id']} {advisory['severity']}: {name}, {fix}")
    print(f"{len(installed)} packages, {found} findings")
    return int(os.environ["EXIT_CODE"]) if found else 0


def packages(reference: str) -> dict[tuple[str, str], str]:
    """Return the versions of an image's packages, by kind (deb, pypi) and name.

    Raises:
        LookupError: the image has no SBOM.
    """
    name, _, digest = reference.partition("@")
    repository = Repository(name)
    found = {}
    for package in bill_of_materials(repository, digest)["packages"]:
        for link in package.get("externalRefs", ()):
            if match := PURL.match(link["referenceLocator"]):
                kind = match[1].partition("/")[0]
                found[kind, unquote(match[2])] = unquote(match[3])
    return found


def bill_of_materials(repository: Repository, digest: str) -> Any:
    """Return the SPDX document that is attached to an image. Raises LookupError without one."""
    _, index = repository.manifest(digest)
    for entry in index.get("manifests", ()):
        if entry.get("annotations", {}).get("vnd.docker.reference.type") != "attestation-manifest":
            continue
        _, manifest = repository.manifest(entry["digest"])
        for layer in manifest["layers"]:
            if layer["annotations"]["in-toto.io/predicate-type"] == SPDX:
                return repository.blob(layer["digest"])["predicate"]
    raise LookupError(f"{digest} has no SBOM")


def affected(kind: str, version: str, fixed: str | None) -> bool:
    """Tell whether an installed version is older than the one with the fix."""
    if fixed is None:
        return True
    if kind == "deb":
        compare = ["dpkg", "--compare-versions", version, "lt", fixed]
        return subprocess.run(compare, check=False).returncode == 0
    return Version(version) < Version(fixed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
