"""Removes secrets and personal numbers from text that is logged."""

import re
from collections.abc import Iterable

MASK = "***"
# Resident-registration numbers: six digits of the birth date, then seven, the first of them
# 1-8 (sex and century, 5-8 for foreigners). Phones: 010-1234-5678 and the older 01x, 02, 0xx.
PERSONAL_NUMBERS = (
    re.compile(r"(?<!\d)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[-\s]?[1-8]\d{6}(?!\d)"),
    re.compile(r"(?<!\d)(?:\+82[-\s]?|0)(?:1[016-9]|2|[3-6]\d)[-.\s]?\d{3,4}[-.\s]?\d{4}(?!\d)"),
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
