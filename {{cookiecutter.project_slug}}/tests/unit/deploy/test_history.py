"""Which release a rollback goes back to."""

import pytest

from deploy.history import Entry, former
from deploy.stack import Release


def journal(text: str) -> list[Entry]:
    """Return the entries of a text: ``v1 done, v2 failed, v3 begun``."""
    entries = []
    for number, part in enumerate(text.split(", ") if text else [], start=1):
        version, outcome = part.split()
        release = Release(version, f"image:{version}@sha256:0", {}, {})
        entries.append(Entry(number, release, {}, "somebody", "", outcome, ""))
    return entries


@pytest.mark.parametrize(
    ("text", "current", "wanted", "expected"),
    [
        ("v1 done, v2 done", "v2", None, "v1"),
        ("v1 done, v2 done, v3 done, v2 done", "v2", None, "v1"),
        ("v1 done, v2 failed, v3 done", "v3", None, "v1"),
        ("v1 done, v2 begun", "v1", None, "v1"),
        ("v1 done, v2 begun", "v2", None, "v1"),
        ("v1 done, v2 done, v3 done", "v3", "v1", "v1"),
        ("v1 done", "v1", None, None),
        ("v1 done, v2 failed", "v1", "v2", None),
        ("v1 done", "v1", "v1", None),
        ("", "", None, None),
    ],
    ids=[
        "the one before",
        "a second time",
        "over a failed one",
        "interrupted before the update",
        "interrupted in the update",
        "a named one",
        "the first one",
        "a failed one",
        "the current one",
        "nothing",
    ],
)
def test_a_rollback_goes_back_to(
    text: str, current: str, wanted: str | None, expected: str | None
) -> None:
    # Given a journal, When it is asked where to go back to, Then it is the last good one before
    found = former(journal(text), current, wanted)
    assert (found and found.version) == expected
