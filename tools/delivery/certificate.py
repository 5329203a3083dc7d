"""A certificate authority for a story, and a certificate of it."""

from __future__ import annotations

import ipaddress
import subprocess
from dataclasses import dataclass
from pathlib import Path

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


@dataclass(frozen=True)
class Certificate:
    """A certificate that a test authority has signed."""

    authority: Path
    """The authority's own certificate, for clients."""
    pem: str
    """The certificate with its key, as HAProxy takes it."""


def make_certificate(folder: Path, *names: str) -> Certificate:
    """Make an authority and a certificate in a folder.

    Args:
        folder: where the files go.
        names: host names and addresses that the certificate is for.
    """
    authority, authority_key = folder / "authority.pem", folder / "authority.key"
    certificate, key = folder / "certificate.pem", folder / "certificate.key"
    _openssl("-subj=/CN=test authority", f"-out={authority}", f"-keyout={authority_key}")
    extensions = {
        "subjectAltName": ",".join(map(_alternative, names)),
        "basicConstraints": "critical,CA:FALSE",
    }
    _openssl(
        *(f"-subj=/CN={names[0]}", f"-out={certificate}", f"-keyout={key}"),
        *(f"-CA={authority}", f"-CAkey={authority_key}"),
        *(f"-addext={name}={text}" for name, text in extensions.items()),
    )
    return Certificate(authority, certificate.read_text("utf-8") + key.read_text("utf-8"))


def _openssl(*options: str) -> None:
    """Make a certificate; every option is ``-name=value``."""
    pairs = [part for option in options for part in option.split("=", 1)]
    command = ["openssl", "req", "-x509", *KEY, *pairs]
    subprocess.run(command, check=True, capture_output=True)


def _alternative(name: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"
