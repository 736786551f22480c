"""Other libraries' circuit breakers, held to what every breaker must keep."""

from __future__ import annotations

import pytest

from fixtures.peers.breakers import Aiobreaker, Circuitbreaker, Purgatory, Pybreaker
from suites.contract.core import breaker
from suites.contract.core.breaker import BreakerContract


@pytest.fixture(autouse=True)
def _less_patience(monkeypatch):
    """A call that waits for another shows as one sooner: some of these hold a lock while they call."""
    monkeypatch.setattr(breaker, "LONG_S", 3.0)


class TestPybreaker(BreakerContract):
    """B1 to B10."""

    peer = Pybreaker
    styles = ("sync",)
    adapter = Pybreaker()


class TestAiobreaker(BreakerContract):
    """B1 to B10."""

    peer = Aiobreaker
    adapter = Aiobreaker()


class TestCircuitbreaker(BreakerContract):
    """B1 to B10."""

    peer = Circuitbreaker
    adapter = Circuitbreaker()


class TestPurgatory(BreakerContract):
    """B1 to B10."""

    peer = Purgatory
    adapter = Purgatory()
