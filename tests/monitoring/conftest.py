"""The real programs that read and run what a project has for its monitoring."""

from __future__ import annotations

import os

import pytest

from tests.monitoring import programs as parts
from tests.monitoring.programs import Programs, ProgramsError


@pytest.fixture(scope="session")
def programs() -> Programs:
    """Return Prometheus, Alertmanager, the blackbox exporter, and their tools."""
    try:
        return parts.programs()
    except ProgramsError as error:
        if os.environ.get("KODEX_REQUIRE_REAL"):
            pytest.fail(str(error))
        pytest.skip(str(error))
