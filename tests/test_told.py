"""What a test tells of a run stands at its end, whichever process has run the test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SUITE = """
import pytest

@pytest.mark.parametrize("good", [True, False])
def test_tells(good, record_property):
    record_property("told", f"caught: {good}")
    assert good
"""


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "two workers"])
def test_what_tests_tell_stands_at_the_end(options: tuple[str, ...], tmp_path: Path) -> None:
    # Given a suite of which a test that passes and one that fails tell a line
    files = {
        "pytest.ini": "[pytest]\ntestpaths = tests\n",
        "tests/conftest.py": 'pytest_plugins = ["tests.told"]\n',
        "tests/test_a.py": SUITE,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    # When one process runs it, or two
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        command, cwd=tmp_path, check=False, capture_output=True, text=True, env=variables
    )
    # Then each line is there once
    told = [line for line in done.stdout.splitlines() if line.startswith("caught: ")]
    assert sorted(told) == ["caught: False", "caught: True"], done.stdout
