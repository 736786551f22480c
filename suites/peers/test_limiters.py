"""Other libraries' token buckets and sliding windows, held to what every token bucket must keep."""

from __future__ import annotations

import pytest

from fixtures.peers.limiters import (
    Limits,
    LimitsOnRedis,
    LimitsSliding,
    LimitsSlidingOnRedis,
    Pyrate,
    PyrateOnRedis,
    Throttled,
    ThrottledOnRedis,
)
from suites.contract.core.limiter import LimiterContract


class Peer(LimiterContract):
    """L1 to L8 of one library."""

    __test__ = False

    @pytest.fixture
    def adapter(self, redis_port):
        return self.peer(redis_port)


class TestThrottled(Peer):
    """In memory."""

    __test__ = True
    peer = Throttled


class TestThrottledOnRedis(Peer):
    """On a real Redis."""

    __test__ = True
    peer = ThrottledOnRedis


class TestPyrate(Peer):
    """In memory."""

    __test__ = True
    peer = Pyrate


class TestPyrateOnRedis(Peer):
    """On a real Redis."""

    __test__ = True
    peer = PyrateOnRedis


class TestLimits(Peer):
    """A moving window in memory."""

    __test__ = True
    peer = Limits


class TestLimitsOnRedis(Peer):
    """A moving window on a real Redis."""

    __test__ = True
    peer = LimitsOnRedis


class TestLimitsSliding(Peer):
    """A sliding window in memory."""

    __test__ = True
    peer = LimitsSliding


class TestLimitsSlidingOnRedis(Peer):
    """A sliding window on a real Redis."""

    __test__ = True
    peer = LimitsSlidingOnRedis
