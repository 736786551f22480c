"""One replica's callers of a limiter, for as long as they are given, and until they were refused."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import TYPE_CHECKING

from fixtures.reference.clock import MonotonicClock
from fixtures.reference.core.breaker import Breaker, BreakerPolicy
from fixtures.reference.core.limiter import FailPolicy, Limiter, LimiterPolicy, RateLimited
from fixtures.reference.core.redis_link import RedisLink, RedisLinkPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

Ask = tuple[float, float, bool]
"""When a caller asked and was answered, monotonic seconds, and whether it was admitted."""

PATIENCE_S = 30.0  # of the link: a slow machine is no outage; and of callers that are never refused
REFUSALS = 3  # that each replica must see: callers that are slower than the bucket refills are no demand


def ask_for(
    lasts_s: float,
    *,
    askers: int,
    pause_s: float,
    ready: Callable[[], object],
    port: int,
    rate_per_s: float,
    burst: float,
    key: str,
) -> list[Ask]:
    """Ask until the time is over and enough was refused; return what each caller was told."""
    policy = LimiterPolicy(rate_per_s=rate_per_s, burst=burst, on_failure=FailPolicy.CLOSED)
    asks: list[Ask] = []
    refused = 0

    async def ask(limiter: Limiter, until_s: float) -> None:
        nonlocal refused
        while (sent_s := time.monotonic()) < until_s or (refused < REFUSALS and sent_s < until_s + PATIENCE_S):
            try:
                await limiter.admit(key)
            except RateLimited:
                asks.append((sent_s, time.monotonic(), False))
                refused += 1
                await asyncio.sleep(pause_s)
            else:
                asks.append((sent_s, time.monotonic(), True))

    async def ask_all() -> None:
        clock = MonotonicClock()
        breaker = Breaker("redis", BreakerPolicy(), clock=clock, random=Random(1))
        link = RedisLink(RedisLinkPolicy(host="127.0.0.1", port=port, op_timeout_s=PATIENCE_S), breaker=breaker)
        await link.ping()
        ready()  # blocks, as all begin together
        limiter, until_s = Limiter(link, policy, clock=clock), time.monotonic() + lasts_s
        await asyncio.gather(*(ask(limiter, until_s) for _ in range(askers)))
        await link.close()

    asyncio.run(ask_all())
    return asks
