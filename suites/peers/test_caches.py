"""Other libraries' caches, held to what every cache must keep."""

from __future__ import annotations

import gc

import pytest
from redis.asyncio import Redis

from fixtures.peers._time import Real
from fixtures.peers.caches import (
    Aiocache,
    AiocacheOnRedis,
    AsyncLru,
    Cachebox,
    Cashews,
    CashewsClientSide,
    CashewsClientSideResp2,
    CashewsOnRedis,
    CashewsSoft,
    Theine,
)
from suites.contract.core.cache import CacheContract
from suites.support.servers import free_port

pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning"),  # of redis-py, by some
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # what they leave open is found whenever
]


class TestAsyncLru(CacheContract):
    """In memory."""

    peer = AsyncLru
    adapter = AsyncLru()


class TestCachebox(CacheContract):
    """In memory, in real time: a lifetime is two seconds, so that there is time to see it kept."""

    peer = Cachebox
    adapter = Cachebox()

    @pytest.fixture
    def clock(self):
        return Real(times=2.5)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")  # for a lifetime it refuses
class TestTheine(CacheContract):
    """In memory."""

    peer = Theine
    adapter = Theine()


class TestAiocache(CacheContract):
    """In memory."""

    peer = Aiocache
    adapter = Aiocache()


class TestCashews(CacheContract):
    """In memory."""

    peer = Cashews
    adapter = Cashews()


class TestCashewsSoft(CacheContract):
    """In memory, with stale values in the place of errors."""

    peer = CashewsSoft
    adapter = CashewsSoft()


class OnRedis(CacheContract):
    """Several replicas on a real Redis."""

    __test__ = False

    @pytest.fixture(autouse=True)
    async def made(self, redis_port):
        async with Redis(port=redis_port) as client:
            await client.flushall()
        self.adapter = self.adapted(redis_port)
        yield
        gc.collect()  # what was left open is found here, and not in the tests of others


class TestAiocacheOnRedis(OnRedis):
    """Its lock is on Redis."""

    __test__ = True
    peer = AiocacheOnRedis

    def adapted(self, redis_port):
        return self.peer(redis_port)


class TestCashewsOnRedis(OnRedis):
    """Its lock is on Redis."""

    __test__ = True
    peer = CashewsOnRedis

    def adapted(self, redis_port):
        return self.peer(redis_port, free_port())


class TestCashewsClientSide(TestCashewsOnRedis):
    """With copies in memory that Redis invalidates."""

    peer = CashewsClientSide


class TestCashewsClientSideResp2(TestCashewsOnRedis):
    """The same on the older protocol."""

    peer = CashewsClientSideResp2
