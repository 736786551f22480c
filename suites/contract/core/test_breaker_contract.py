"""The reference core's breakers keep what every breaker must."""

from __future__ import annotations

from suites.contract.core.breaker import BreakerContract
from suites.support.core.breakers import Ours


class TestOurBreaker(BreakerContract):
    """B1 to B10, in one process."""

    adapter = Ours()
