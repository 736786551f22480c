"""L2 on a Redis of its own for each test: empty at first, and with all signatures that its policy asks for."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from fixtures.reference.clock import MonotonicClock
from fixtures.reference.core.cache import CachePolicy, SharedLevel
from suites.support.core.cacheworld import World


@pytest.fixture
def world():
    """One truth, an L2 on a fake clock, and a replica over them."""
    return World()


@pytest.fixture
async def redis(redis_port):
    """A client past all parts of the core; Redis is emptied before the test."""
    async with Redis(port=redis_port) as client:
        await client.flushall()
        yield client


@pytest.fixture
async def level(linked, redis):
    """Make L2s of replicas that share the emptied Redis."""
    made = []

    def make(*, clock=None, port: int | None = None, link=None, **policy: object) -> SharedLevel:
        link = link or (linked() if port is None else linked(port=port))
        made.append(SharedLevel(link, CachePolicy(**policy), clock=clock or MonotonicClock()))
        return made[-1]

    yield make
    for shared in made:
        await shared.close()


@pytest.fixture
def signed():
    """Have replicas sign that L2 has all that they acknowledged until now."""

    async def sign(shared: SharedLevel, *names: str) -> None:
        for name in names or ("one",):
            await shared.sign(name, await shared.look_at_the_time())

    return sign
