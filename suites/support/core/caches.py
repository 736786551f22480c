"""The reference core's cache for the suite that any cache must keep."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

from fixtures.reference.clock import MonotonicClock
from fixtures.reference.core.breaker import Breaker, BreakerPolicy, Unavailable
from fixtures.reference.core.cache import ABSENT, CachePolicy, Document
from fixtures.reference.core.redis_link import RedisLink, RedisLinkPolicy
from fixtures.reference.parts import Design
from suites.contract.core.cache import GRACE_S, MAX_BYTES, TTL_S, AwayError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from harness.clock import FakeClock


class Ours:
    """`fixtures/reference/core/cache`: with a real Redis its lifetimes there are Redis' own, so that no clock steps them."""

    def __init__(
        self,
        redis_port: int,
        dead_port: int,
        *,
        is_shared: bool,
        design: Design | None = None,
        refresh_ratio: float = 1.0,
    ) -> None:
        self._port, self._dead_port, self._is_shared = redis_port, dead_port, is_shared
        self._design, self._refresh_ratio = design or Design(), refresh_ratio
        both = {"single_flight", "absent", "invalidate", "write", "fence", "bytes", "counts", "l2_down", "levels"}
        alone = {"ttl", "ends", "absent_briefly", "stale_if_error", "clear", "memory"}
        self.offers = frozenset(both | ({"replicas", "lease", "bus"} if is_shared else alone))
        self._versions: Counter[str] = Counter()

    @asynccontextmanager
    async def build(
        self,
        load: Callable[[str], Awaitable[bytes | None]],
        *,
        clock: FakeClock,
        replica: str = "one",
        is_l2_up: bool = True,
        ttl_s: float = TTL_S,
        max_bytes: int = MAX_BYTES,
    ) -> AsyncIterator[OurCached]:
        policy = CachePolicy(
            max_bytes=max_bytes,
            ttl_s=ttl_s,
            l1_ttl_s=TTL_S,
            grace_s=GRACE_S,
            refresh_ratio=self._refresh_ratio,
            lease_s=30.0,  # who waits for so long loads as well, and a busy machine may stop a loader for a second
        )
        breaker = Breaker("redis", BreakerPolicy(), clock=MonotonicClock(), random=Random(1))
        port = self._port if self._is_shared and is_l2_up else self._dead_port
        link = RedisLink(RedisLinkPolicy(host="127.0.0.1", port=port, op_timeout_s=30.0), breaker=breaker)
        own_clock = MonotonicClock() if self._is_shared else clock
        cached = OurCached(self._design, load, link, policy, own_clock, replica, self._versions)
        tasks = []
        if port == self._port:
            await cached.watermark.sign()
            tasks = [asyncio.create_task(each) for each in (cached.bus.listen_forever(), cached.debts.pay_forever())]
            while not cached.bus.is_listening:  # noqa: ASYNC110 - listening is not an event of its own
                await asyncio.sleep(0.001)
        try:
            yield cached
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await cached.cache.close(within_s=1)
            await cached.shared.close()
            await link.close()


class OurCached:
    """One of ours, over a loader of bytes."""

    def __init__(
        self,
        design: Design,
        load,
        link: RedisLink,
        policy: CachePolicy,
        clock,
        replica: str,
        versions: Counter[str],
    ) -> None:
        self._versions = versions

        async def load_document(key: str) -> Document:
            version = 1 + versions[key]
            try:
                body = await load(key)
            except AwayError as error:
                raise Unavailable("source", "away", retry_after_s=1) from error
            return ABSENT if body is None else Document(version, body)

        self.memory, self.shared = design.memory(policy.max_bytes), design.shared(link, policy, clock=clock)
        self.debts = design.debts(self.shared, ttl_s=policy.ttl_s)
        self.watermark = design.watermark(self.shared, self.debts, policy, replica=replica)
        self.cache = design.cache(
            self.memory, self.shared, self.debts, load_document, policy, clock=clock, random=Random(replica)
        )
        self.bus = design.bus(
            link, on_news=self.cache.drop_older, on_tag=self.cache.drop_tag, on_gap=self.cache.drop_all
        )

    async def get(self, key: str) -> bytes | None:
        try:
            document = (await self.cache.get(key)).document
        except Unavailable as error:
            raise AwayError from error
        return document.body if document.exists else None

    async def invalidate(self, key: str) -> None:
        await self.cache.invalidate(key)

    async def clear(self) -> None:
        self.cache.drop_all()

    async def write(self, key: str, body: bytes, commit: Callable[[], None]) -> None:
        async def commit_document() -> Document:
            commit()
            self._versions[key] += 1
            return Document(1 + self._versions[key], body)

        await self.cache.write(key, commit_document)

    def used_bytes(self) -> int:
        return self.memory.used_bytes

    def counts(self) -> tuple[int, int, int]:
        counts = self.cache.statistics()
        return counts.reads, counts.l1 + counts.l2, counts.loads
