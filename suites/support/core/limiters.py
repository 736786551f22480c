"""The reference core's limiters for the suite that any limiter must keep."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import count
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

from fixtures.reference.clock import MonotonicClock
from fixtures.reference.core.breaker import Breaker, BreakerPolicy, Unavailable
from fixtures.reference.core.limiter import (
    BlockingLimiter,
    FailPolicy,
    Limiter,
    LimiterPolicy,
    MemoryLimiter,
    RateLimited,
)
from fixtures.reference.core.redis_link import BlockingRedisLink, RedisLink, RedisLinkPolicy
from harness.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from suites.contract.core.limiter import Limited, Outage

OFFERS = frozenset({"burst", "many_keys", "refills", "refuses_never_fitting", "retry_after", "sizes", "slow_rates"})
OUTAGES = frozenset({"outage-open", "outage-closed", "outage-local"})
NUMBERS = count()  # of buckets on the shared Redis, so that no test finds those of another


class OursInMemory:
    """`MemoryLimiter`, on a clock that the suite moves."""

    offers = OFFERS

    @contextmanager
    def build(self, rate_per_s: float, burst: int) -> Iterator[Limited]:
        clock = FakeClock(1000.0)
        limiter = MemoryLimiter(LimiterPolicy(rate_per_s=rate_per_s, burst=burst), clock=clock)
        yield OursForThreads(limiter, now=clock.now, wait=clock.advance)


class OursWithoutRedis:
    """What a `Limiter` does in an outage, `local`, which is the same bucket again."""

    offers = OFFERS

    def __init__(self, dead_port: int) -> None:
        self._dead_port = dead_port

    @contextmanager
    def build(self, rate_per_s: float, burst: int) -> Iterator[Limited]:
        clock = FakeClock(1000.0)
        policy = LimiterPolicy(rate_per_s=rate_per_s, burst=burst)
        with closing(BlockingRedisLink(_at(self._dead_port), breaker=_breaker())) as link:
            yield OursForThreads(BlockingLimiter(link, policy, clock=clock), now=clock.now, wait=clock.advance)


class OursOnRedis:
    """`BlockingLimiter` or `Limiter` on a real Redis, in real time."""

    offers = OFFERS | OUTAGES | {"shared"}

    def __init__(self, kind: type[BlockingLimiter | Limiter], *, port: int, dead_port: int) -> None:
        self._kind, self._port, self._dead_port = kind, port, dead_port

    @contextmanager
    def build(self, rate_per_s: float, burst: int) -> Iterator[Limited]:
        with self._built(self._port, LimiterPolicy(rate_per_s=rate_per_s, burst=burst)) as limited:
            yield limited

    @contextmanager
    def build_without_server(self, burst: int, outage: Outage) -> Iterator[Limited]:
        policy = LimiterPolicy(rate_per_s=1e-3, burst=burst, on_failure=FailPolicy(outage), share_ratio=0.5)
        with self._built(self._dead_port, policy) as limited:
            yield limited

    @contextmanager
    def _built(self, port: int, policy: LimiterPolicy) -> Iterator[Limited]:
        clock = MonotonicClock()
        if self._kind is BlockingLimiter:
            with closing(BlockingRedisLink(_at(port), breaker=_breaker())) as link:
                limiter = BlockingLimiter(link, policy, clock=clock)
                yield OursForThreads(limiter, now=time.monotonic, wait=time.sleep)
            return
        with asyncio.Runner() as runner:
            link = RedisLink(_at(port), breaker=_breaker())
            try:
                yield OursForTasks(Limiter(link, policy, clock=clock), runner)
            finally:
                runner.run(link.close())


class OursForThreads:
    """One that is asked by threads."""

    def __init__(self, limiter: BlockingLimiter | MemoryLimiter, *, now: Any, wait: Any) -> None:
        self._limiter, self._prefix = limiter, f"contract-{next(NUMBERS)}:"
        self.now, self.wait = now, wait

    def ask(self, key: str, n: int = 1) -> float:
        try:
            self._limiter.admit(self._prefix + key, n)
        except RateLimited as refusal:
            return refusal.retry_after_s
        except Unavailable:
            return inf
        return 0.0

    def ask_at_once(self, key: str, times: int) -> list[float]:
        with ThreadPoolExecutor(8) as threads:
            return list(threads.map(lambda _: self.ask(key), range(times)))


class OursForTasks:
    """One that is asked by tasks."""

    def __init__(self, limiter: Limiter, runner: asyncio.Runner) -> None:
        self._limiter, self._runner, self._prefix = limiter, runner, f"contract-{next(NUMBERS)}:"
        self.now, self.wait = time.monotonic, time.sleep

    def ask(self, key: str, n: int = 1) -> float:
        return self._runner.run(self._ask(key, n))

    def ask_at_once(self, key: str, times: int) -> list[float]:
        async def ask_all() -> list[float]:
            return await asyncio.gather(*(self._ask(key, 1) for _ in range(times)))

        return self._runner.run(ask_all())

    async def _ask(self, key: str, n: int) -> float:
        try:
            await self._limiter.admit(self._prefix + key, n)
        except RateLimited as refusal:
            return refusal.retry_after_s
        except Unavailable:
            return inf
        return 0.0


def _at(port: int) -> RedisLinkPolicy:
    return RedisLinkPolicy(host="127.0.0.1", port=port, op_timeout_s=10.0)  # a slow machine is no outage


def _breaker() -> Breaker:
    return Breaker("redis", BreakerPolicy(), clock=MonotonicClock(), random=Random(1))
