"""Every test of a suite has a time limit, and one that hangs is one failure among others."""

from __future__ import annotations

import os
import subprocess
import sys

from suites.support.servers import ALLURE_ALONE, PROJECT

HANGS = """
import threading
import pytest

@pytest.mark.timeout(0.2)
def test_hangs():
    threading.Event().wait()

def test_goes_on(request):
    assert request.node.get_closest_marker("timeout").args == (300.0,)
"""


def test_every_test_has_a_limit(request):
    """The one of its folder, here as well."""
    assert request.node.get_closest_marker("timeout").args == (300.0,)


def test_a_test_that_hangs_fails_alone(tmp_path):
    """With the place where it hung; what comes after it is run."""
    (tmp_path / "suites/unit").mkdir(parents=True)
    (tmp_path / "suites/unit/test_made.py").write_text(HANGS)
    (tmp_path / "conftest.py").write_text((PROJECT / "conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    unit: made\n")

    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "timeout", "-p", "no:cacheprovider", "suites"],
        cwd=tmp_path, env={**os.environ, **ALLURE_ALONE, "PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert "1 failed, 1 passed" in told.stdout, told.stdout + told.stderr
    assert "Timeout (>0.2s) from pytest-timeout" in told.stdout
    assert "threading.Event().wait()" in told.stdout
