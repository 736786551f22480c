"""The shared breaker keeps what every breaker must, through a real Redis that goes by a clock of ours."""

from __future__ import annotations

import pytest

from harness.clock import FakeClock
from suites.contract.core.breaker import BreakerContract
from suites.support.core.breakers import OursShared, SteppedLink


class TestOurSharedBreaker(BreakerContract):
    """B1 to B10, through Redis."""

    styles = ("async",)

    @pytest.fixture(autouse=True)
    async def adapter_of_redis(self, linked):
        """Let Redis go by a clock that can be stepped."""
        link = linked(kind=SteppedLink)
        link.clock = FakeClock(1000.0)
        self.adapter = OursShared(link)
