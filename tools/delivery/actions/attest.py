"""Turns a pushed image into an index with SBOM and provenance; prints the index's digest.

BuildKit does this where it may write attestations; the builder in the engine may not.
The form is BuildKit's: https://docs.docker.com/build/metadata/attestations/attestation-storage/

    python -m tools.delivery.actions.attest IMAGE:TAG

SBOM=true adds a bill of materials; PROVENANCE=mode=max what the image was made of.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from tools.delivery.actions.repository import (
    CONFIG,
    INDEX,
    MANIFEST,
    STATEMENT,
    Descriptor,
    Repository,
)

SPDX = "https://spdx.dev/Document"
SLSA = "https://slsa.dev/provenance/v1"
CATALOGERS = "dpkg-db-cataloger,python-installed-package-cataloger"
QUICKER = {
    "SYFT_CHECK_FOR_APP_UPDATE": "false",
    "SYFT_FILE_METADATA_SELECTION": "none",
    "SYFT_RELATIONSHIPS_PACKAGE_FILE_OWNERSHIP": "false",
}
BUILD_TYPE = "https://mobyproject.org/buildkit@v1"


def main(reference: str) -> None:
    """Replace a tag's manifest by an index of it and its attestations."""
    name, _, tag = reference.rpartition(":")
    repository = Repository(name)
    image, manifest = repository.manifest(tag)
    platform = repository.blob(manifest["config"]["digest"])
    image["platform"] = {key: platform[key] for key in ("architecture", "os")}
    predicates = {}
    if os.environ["SBOM"] == "true":
        predicates[SPDX] = bill_of_materials(reference)
    if os.environ["PROVENANCE"]:
        predicates[SLSA] = provenance()
    attestations = [put_attestations(repository, reference, image, predicates)]
    index = {"manifests": [image, *attestations]}
    print(repository.put_manifest(INDEX, index, tag)["digest"])


def bill_of_materials(reference: str) -> Any:
    """Return the packages of an image, found by syft, as an SPDX document."""
    syft = Path(sysconfig.get_path("scripts"), "syft")
    scan = [str(syft), "scan", f"docker:{reference}", "--quiet", "--output=spdx-json"]
    done = subprocess.run(
        [*scan, f"--override-default-catalogers={CATALOGERS}"],
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, **QUICKER},
    )
    return json.loads(done.stdout)


def provenance() -> Any:
    """Return what the image was built from, by whom."""
    run = {name: os.environ[f"GITHUB_{name.upper()}"] for name in ("server_url", "repository")}
    url = f"{run['server_url']}/{run['repository']}"
    arguments = dict(line.split("=", 1) for line in os.environ["BUILD_ARGS"].split())
    commit = {"gitCommit": os.environ["GITHUB_SHA"]}
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"args": arguments, "mode": os.environ["PROVENANCE"]},
            "resolvedDependencies": [{"uri": f"git+{url}", "digest": commit}],
        },
        "runDetails": {"builder": {"id": f"{url}/actions/runs/{os.environ['GITHUB_RUN_ID']}"}},
    }


def put_attestations(
    repository: Repository, reference: str, image: Descriptor, predicates: dict[str, Any]
) -> Descriptor:
    """Upload the statements about an image; return the descriptor of their manifest."""
    algorithm, _, value = image["digest"].partition(":")
    subject = {"name": f"pkg:docker/{reference}", "digest": {algorithm: value}}
    layers = []
    for kind, predicate in predicates.items():
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "predicateType": kind,
            "subject": [subject],
            "predicate": predicate,
        }
        layer = repository.put_blob(STATEMENT, statement)
        layers.append({**layer, "annotations": {"in-toto.io/predicate-type": kind}})
    nowhere = {"architecture": "unknown", "os": "unknown"}
    digests = [layer["digest"] for layer in layers]
    config = {**nowhere, "config": {}, "rootfs": {"type": "layers", "diff_ids": digests}}
    manifest = {"config": repository.put_blob(CONFIG, config), "layers": layers}
    notes = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": image["digest"],
    }
    descriptor = repository.put_manifest(MANIFEST, manifest)
    return {**descriptor, "platform": nowhere, "annotations": notes}


if __name__ == "__main__":
    main(sys.argv[1])
