"""What readiness.toml declares of the reference service: its requests, and the headers of its answers."""

from __future__ import annotations

from harness.options import settings_of
from harness.spec.load import Load
from suites.support.servers import PROJECT

SYSTEM = settings_of(PROJECT).system
WRITE, READ = SYSTEM.requests
HEADERS = SYSTEM.headers


def item_load(**told: object) -> Load:
    """Return a load that asks for the reference service's items."""
    return Load.model_validate(told).asking(SYSTEM.requests, SYSTEM.headers)
