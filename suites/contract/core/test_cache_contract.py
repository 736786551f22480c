"""The reference core's cache keeps what every cache must, alone and with a real Redis beneath it."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from suites.contract.core.cache import OFFERS, CacheContract
from suites.support.core.caches import Ours
from suites.support.servers import free_port, redis_of_the_session


@pytest.fixture(scope="module")
def redis_port():
    """The port of a Redis for this file."""
    with redis_of_the_session() as port:
        yield port


class TestOurCacheAlone(CacheContract):
    """Its Redis is away all the time: memory and the loader, on a clock that tests step."""

    @pytest.fixture(autouse=True)
    def made(self):
        self.adapter = Ours(0, free_port(), is_shared=False)


class TestOurCache(CacheContract):
    """All its levels."""

    @pytest.fixture(autouse=True)
    async def made(self, redis_port):
        async with Redis(port=redis_port) as client:
            await client.flushall()
        self.adapter = Ours(redis_port, free_port(), is_shared=True)


def test_ours_is_asked_for_all_there_is():
    """What one of the two suites leaves out, the other has: no check is skipped in both."""
    assert {each for is_shared in (True, False) for each in Ours(0, 0, is_shared=is_shared).offers} == OFFERS.keys()
