"""Removes secrets and personal numbers from text that is logged."""

import re
from collections.abc import Iterable

MASK = "***"
# Resident-registration numbers: six digits of the birth date, then seven, the first of them
# 1-8 (sex and century, 5-8 for foreigners). Phones: mobile 01x, internet 070, regions 02-06x,
# toll-free 080, personal 050x, service numbers 15xx-18xx; +82 in place of the first 0.
# Digits in the middle of a word, such as an id, are no number of a person.
_START, _END = r"(?<![0-9A-Za-z])", r"(?![0-9A-Za-z])"
PERSONAL_NUMBERS = tuple(
    re.compile(_START + pattern + _END)
    for pattern in (
        r"\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[-\s]?[1-8]\d{6}",
        r"(?:\+82[-\s]?|\(?0)(?:1[016-9]|2|[3-6]\d|50\d|[78]0)\)?[-.\s]?\d{3,4}[-.\s]?\d{4}",
        r"1[5-8]\d{2}-\d{4}",
    )
)
CREDENTIALS = (
    re.compile(r"(?i)(bearer )\S+"),
    re.compile(r"()\bsk-[A-Za-z0-9_-]{8,}"),
    re.compile(r"(?i)([?&](?:key|token)=)[^&\s]+"),
    re.compile(r"(://)[^/\s:@]+:[^/\s@]+(?=@)"),
)


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the text with personal numbers, credentials and the given secrets as ``***``."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    for pattern in PERSONAL_NUMBERS:
        text = pattern.sub(MASK, text)
    for pattern in CREDENTIALS:
        text = pattern.sub(rf"\1{MASK}", text)
    return text
