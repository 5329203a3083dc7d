"""The pages of the guideline come from the table of clauses, and from nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tools.guideline import documents

DOCUMENTS = documents()


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.relative_to(ROOT).name)
def test_page_is_what_the_table_says(file: Path) -> None:
    # Given a page, When the table is written out anew, Then the page is the same
    assert file.read_text("utf-8") == DOCUMENTS[file], "run: make guideline"
