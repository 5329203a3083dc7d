"""Versions in the container registry: which image they are, and which of them staging has run."""

import json
import re

from deploy.docker import DockerError, docker
from deploy.errors import DeployError
from deploy.project import Target, check_version

COMMIT = re.compile(r"[0-9a-f]{40}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(reference: str) -> str | None:
    """Return the digest of an image in its registry, None where there is none of that name.

    Raises:
        DeployError: the registry cannot be asked.
    """
    try:
        command = ("buildx", "imagetools", "inspect", reference, "--format", "{{json .Manifest}}")
        digest: str = json.loads(docker(*command))["digest"]
    except DockerError as error:
        said = str(error)
        if ("not found" in said and "executable" not in said) or "NAME_UNKNOWN" in said:
            return None
        raise DeployError(
            f"The registry cannot be asked for {reference}: {str(error).splitlines()[-1]}"
        ) from error
    return digest


def image_of(target: Target, version: str) -> str:
    """Return a version's image as ``name:version@digest``.

    Raises:
        DeployError: the version may move, or the registry does not know it.
    """
    reference = f"{target.image}:{check_version(version)}"
    digest = digest_of(reference)
    if digest is None:
        raise DeployError(f"There is no image {reference}: {version} is an unknown version.")
    return f"{reference}@{digest}"


def mark_verified(target: Target, commit: str, digest: str) -> None:
    """Tag an image as the one that staging has run for a commit.

    Raises:
        DeployError: the arguments are malformed, or the registry refuses.
    """
    if not DIGEST.fullmatch(digest):
        raise DeployError(f"{digest!r} is no digest (sha256: and 64 digits).")
    add_tag(target, digest, verified_tag(commit))


def promote(target: Target, commit: str, version: str) -> str:
    """Give the image that staging has verified for a commit a version; return its digest.

    Raises:
        DeployError: staging never ran the commit, or the version is another image already.
    """
    digest = verified_digest(target, commit, version)
    known = digest_of(f"{target.image}:{check_version(version)}")
    if known not in (None, digest):
        raise DeployError(
            f"{version} is {known} already and cannot become {digest}: a version never changes. "
            "Take the next one."
        )
    if known is None:
        add_tag(target, digest, version)
    return digest


def verified_digest(target: Target, commit: str, version: str) -> str:
    """Return the digest of the image that staging has run for a commit.

    Raises:
        DeployError: there is none.
    """
    digest = digest_of(f"{target.image}:{verified_tag(commit)}")
    if digest is None:
        raise DeployError(
            f"Staging never ran {version} (commit {commit}). Merge it into main, and let the "
            "staging workflow end well; production takes only what staging has verified."
        )
    return digest


def verified_tag(commit: str) -> str:
    """Return the tag that says: staging has run this commit.

    Raises:
        DeployError: it is no full commit id.
    """
    if not COMMIT.fullmatch(commit):
        raise DeployError(f"{commit!r} is no full commit id (40 digits).")
    return f"verified-{commit}"


def add_tag(target: Target, digest: str, tag: str) -> None:
    """Give an image of the registry one more tag.

    Raises:
        DeployError: the registry refuses, or made another image of it.
    """
    reference = f"{target.image}:{tag}"
    docker("buildx", "imagetools", "create", "--tag", reference, f"{target.image}@{digest}")
    # buildx wraps a plain manifest into an index, which is another digest.
    if digest_of(reference) != digest:
        raise DeployError(
            f"{reference} did not become {digest}: build the image with provenance, so that it is "
            "an index already."
        )
