"""The guideline suite of a rendered project, for tests of its own parts."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import Render

Part = Callable[[str], Any]


@pytest.fixture(scope="session")
def part(render: Render) -> Iterator[Part]:
    """Return a function that imports a module of the suite by its name."""
    project = str(render({}))
    # Last, and joined to this package: neither of the two has an __init__.py.
    sys.path.append(project)
    yield lambda name: importlib.import_module(f"tests.guideline.{name}")
    sys.path.remove(project)
