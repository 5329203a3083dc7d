"""The project that is checked: the one that these files stand in."""

from pathlib import Path

import pytest

from tests.guideline.project import Project


@pytest.fixture(scope="session")
def project() -> Project:
    return Project(Path(__file__).parents[2])
