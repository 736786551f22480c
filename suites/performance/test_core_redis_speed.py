"""What the core's ways to Redis cost, in commands of redis-py on the same Redis in the same run."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
import redis.asyncio

from fixtures.reference.core.breaker import Breaker, BreakerPolicy
from fixtures.reference.core.cache import CachePolicy, Document, SharedLevel
from fixtures.reference.core.limiter import BlockingLimiter, Limiter, LimiterPolicy
from fixtures.reference.core.redis_link import BlockingRedisLink, RedisLink, RedisLinkPolicy
from suites.support.race import race, race_tasks

TIMES = 64
CALLERS = 32
KEYS = [f"item:{number}" for number in range(TIMES)]
FEW = KEYS[:8]  # one caller waits for each, so that even a few of them are a slice
BODY = b"x" * 100
WIDE = LimiterPolicy(rate_per_s=1e6, burst=1e6)
NOTHING = "return 1"


@pytest.fixture
def options(redis_port, clock):
    """What both links take; a slow machine is no outage."""
    policy = RedisLinkPolicy(host="127.0.0.1", port=redis_port, op_timeout_s=10.0)
    return policy, Breaker("redis", BreakerPolicy(), clock=clock, random=Random(1))


@pytest.fixture
async def link(options):
    """A way to Redis."""
    policy, breaker = options
    link = RedisLink(policy, breaker=breaker)
    yield link
    await link.close()


@pytest.fixture
async def client(redis_port):
    """redis-py as it comes."""
    client = redis.asyncio.Redis(port=redis_port)
    for key in KEYS:
        await client.set(key, BODY)
    yield client
    await client.aclose()


@pytest.fixture
async def shared(link, clock):
    """L2 with a document for each key."""
    shared = SharedLevel(link, CachePolicy(), clock=clock)
    as_of_us = await shared.look_at_the_time()
    for key in KEYS:
        assert await shared.fill(key, Document(1, BODY), ttl_s=60, as_of_us=as_of_us)
    yield shared
    await shared.close()


def alone(ask):
    """Return what asks for each key, one after the other."""

    async def asking() -> None:
        for key in FEW:
            await ask(key)

    return asking


def together(ask):
    """Return what asks for each key, so many callers at once, each for the next when it has one."""

    async def caller(number: int) -> None:
        for key in KEYS[number::CALLERS]:
            await ask(key)

    async def asking() -> None:
        await asyncio.gather(*(caller(number) for number in range(CALLERS)))

    return asking


async def test_l2_is_read_three_times_as_fast_by_many_callers(shared, client, figures):
    """32 callers: what they ask in one tick of the loop is one script."""
    best = await race_tasks({"ours": together(shared.get), "redis-py": together(client.get)}, operations=TIMES)

    figures.at_least_as_fast("cache", "L2 read, 32 callers", best["ours"], ("redis-py GET", best["redis-py"]), 3)


async def test_l2_is_read_by_one_caller_in_little_more_than_a_get(shared, client, figures):
    """One caller pays for the watermark, the fence and the tags that a bare GET does not look at.

    The aim is 1.15 GET, as for a bare MGET, and is not reached: the bar here holds what is.
    """
    best = await race_tasks({"ours": alone(shared.get), "redis-py": alone(client.get)}, operations=len(FEW))

    figures.at_most(
        "cache", "L2 read, one caller", best["ours"], ("redis-py GET", best["redis-py"]), 2.5, "told; the aim is 1.15"
    )


def test_a_check_in_redis_costs_little_more_than_a_get(options, redis_port, clock, figures):
    """Decided by one script, with the time of Redis. The aim is 1.3 GET, and what is reached lies on both sides of it."""
    policy, breaker = options
    blocking = BlockingRedisLink(policy, breaker=breaker)
    limiter = BlockingLimiter(blocking, WIDE, clock=clock)
    raw = redis.Redis(port=redis_port)
    raw.set("item:0", BODY)

    def ours() -> None:
        for _ in FEW:
            limiter.admit("client")

    def bare() -> None:
        for _ in FEW:
            raw.get("item:0")

    best = race({"ours": ours, "redis-py": bare}, operations=len(FEW))
    blocking.close()
    raw.close()

    assert limiter.decisions["admitted"] >= len(FEW)
    figures.at_most(
        "limiter", "in Redis, one thread", best["ours"], ("redis-py GET", best["redis-py"]), 1.6, "told; the aim is 1.3"
    )


async def test_many_callers_are_checked_in_one_script(link, client, clock, figures):
    """32 callers, beside an EVALSHA each that does nothing: two and a half times as fast."""
    limiter = Limiter(link, WIDE, clock=clock)
    digest = await client.script_load(NOTHING)

    async def single(key: str) -> None:
        await client.evalsha(digest, 1, key)

    best = await race_tasks({"ours": together(limiter.admit), "redis-py": together(single)}, operations=TIMES)

    assert limiter.decisions["admitted"] >= TIMES
    peer = "redis-py EVALSHA", best["redis-py"]
    figures.at_least_as_fast("limiter", "in Redis, 32 callers", best["ours"], peer, 2.5)
