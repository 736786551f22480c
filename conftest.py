"""What every pytest run of this project shares: the plugin, markers from folders, time limits, Hypothesis profiles."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from harness.options import BESIDE_VARIABLE
from suites.support.dice import seed_of_the_run

pytest_plugins = ["harness.plugin", "suites.support.stack", "suites.support.turns"]

SUITES = Path(__file__).parent / "suites"

# Timing belongs to benchmarks: a slow machine must not fail a property. CI derives its examples from the test alone.
settings.register_profile("dev", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True, max_examples=200)
settings.register_profile("deep", deadline=None, max_examples=5000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


os.environ[BESIDE_VARIABLE] = "1"
"""Suites run side by side, and so do the runs that they start: each would wait for all others, or be refused."""

LIMIT_S = 300.0
"""A test that hangs is one failure, with the place where it hung, and not the end of everything.

Three times what the slowest took on two cores that had four times the work they can do: a whole run, 100 s. The limit
stands here, not in pyproject.toml, which `readiness run` reads as well: a scenario takes as long as its profile says.
"""

LIMITS_S = {"performance": 1800.0, "statistics": 1800.0}
"""Those that measure for minutes."""

if os.environ.get("HYPOTHESIS_PROFILE") == "deep":
    LIMITS_S["property"] = 3600.0


def pytest_configure() -> None:
    """Listen to Ctrl-C, where a shell that put us into the background had it ignored: children inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> list[str]:
    """Say what the suites' own dice go by."""
    seed = seed_of_the_run()
    return [] if seed is None else [f"seed of the suites' dice: {seed}"]


@pytest.fixture(scope="session", autouse=True)
def _no_config_above_a_made_project(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep a pytest that a test starts from reading ours: nox puts the temporary folders below this project."""
    (tmp_path_factory.getbasetemp() / "pytest.ini").write_text("[pytest]\n")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test with the name of its folder in suites/, and limit the time that it may take."""
    ours = [item for item in items if item.path.is_relative_to(SUITES)]
    if ours and "timeout" not in config.option:  # whichever way the plugin was named
        raise pytest.UsageError("pytest-timeout is missing: nox --install-only -s tests")
    for item in ours:
        kind = item.path.relative_to(SUITES).parts[0]
        item.add_marker(getattr(pytest.mark, kind))
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LIMITS_S.get(kind, LIMIT_S)))
