"""What every pytest run of this project shares: the plugin, markers from folders, Hypothesis profiles."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["harness.plugin", "suites.support.stack"]

SUITES = Path(__file__).parent / "suites"

# Timing belongs to benchmarks: a slow machine must not fail a property. CI derives its examples from the test alone.
settings.register_profile("dev", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True, max_examples=200)
settings.register_profile("deep", deadline=None, max_examples=5000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the name of its folder in suites/."""
    for item in items:
        if item.path.is_relative_to(SUITES):
            item.add_marker(getattr(pytest.mark, item.path.relative_to(SUITES).parts[0]))
