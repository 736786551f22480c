"""The reference core's limiters keep what every limiter must."""

from __future__ import annotations

import pytest

from fixtures.reference.core.limiter import BlockingLimiter, Limiter
from suites.contract.core.limiter import LimiterContract
from suites.support.core.limiters import OursInMemory, OursOnRedis, OursWithoutRedis
from suites.support.servers import free_port, redis_of_the_session


@pytest.fixture(scope="session")
def redis_port():
    """The port of a Redis that this session shares; limiters use keys of their own."""
    with redis_of_the_session() as port:
        yield port


class TestOurLimiterInMemory(LimiterContract):
    """L1 to L7, on a fake clock."""

    @pytest.fixture
    def adapter(self):
        return OursInMemory()


class TestOurLimiterWithoutRedis(LimiterContract):
    """L1 to L7 of the local buckets of an outage, on a fake clock."""

    @pytest.fixture
    def adapter(self):
        return OursWithoutRedis(free_port())


class TestOurLimiterForThreads(LimiterContract):
    """L1 to L8, on a real Redis."""

    @pytest.fixture
    def adapter(self, redis_port):
        return OursOnRedis(BlockingLimiter, port=redis_port, dead_port=free_port())


class TestOurLimiterForTasks(LimiterContract):
    """L1 to L8, on a real Redis."""

    @pytest.fixture
    def adapter(self, redis_port):
        return OursOnRedis(Limiter, port=redis_port, dead_port=free_port())
