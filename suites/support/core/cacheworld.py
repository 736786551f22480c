"""A cache over an L2 that is a dictionary on the fake clock, with the same fences; the real one has suites of its own."""

from __future__ import annotations

import asyncio
from itertools import count
from math import inf
from random import Random

from fixtures.reference.core.breaker import DependencyFailed
from fixtures.reference.core.cache import ABSENT, Cache, CachePolicy, Debts, Document, Held, MemoryLevel
from harness.clock import FakeClock

TTL_S, L1_TTL_S, GRACE_S = 60.0, 5.0, 30.0
EXACT = CachePolicy(ttl_s=TTL_S, l1_ttl_s=L1_TTL_S, grace_s=GRACE_S, jitter_ratio=0.0, refresh_ratio=1.0)


class SharedDouble:
    """L2 in a dictionary, with the fences, the grace and the leases of the real one.

    Attributes:
        is_complete: All replicas have signed just now; without it a document is known as of its load only.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.held: dict[str, tuple[Document, float, float]] = {}
        self.leases: dict[str, tuple[str, float]] = {}
        self.stamps: dict[str, float] = {}
        self.is_down, self.is_complete = False, True
        self.before_get = self.before_fill = self.when_told = None
        self.told: list[tuple[str, float]] = []
        self.gets = 0
        self.stored_us: dict[str, int] = {}

    @property
    def moment_us(self) -> int:
        return round(self.clock.now() * 1e6)

    async def get(self, key: str) -> Held | None:
        self.gets += 1
        self.check()
        document, fresh_until_s, as_of_s = self.held.get(key, (None, 0.0, 0.0))
        if self.before_get:
            await self.before_get()
        if document is None or self.clock.now() >= fresh_until_s + GRACE_S:  # absence too: it lies there as a fence
            return None
        if any(self.stamps.get(tag, -1) >= as_of_s for tag in document.tags):
            return None
        return Held(document, self.clock.now() if self.is_complete else as_of_s, fresh_until_s)

    async def fill(self, key: str, document: Document, *, ttl_s: float, as_of_us: int, lease: str = "") -> bool:
        self.check()
        if self.before_fill:
            await self.before_fill()
        if self.leases.get(key, ("", 0.0))[0] == lease:
            self.stored_us[key] = self.moment_us
        await self.release(key, lease)
        return self.keep(key, document, ttl_s, as_of_us)

    async def supersede(self, key: str, document: Document, *, ttl_s: float, as_of_us: int) -> None:
        self.check()
        self.keep(key, document, ttl_s, as_of_us)
        self.told.append((key, document.version))
        if self.when_told:
            self.when_told()

    async def invalidate(self, key: str) -> None:
        self.check()
        self.held.pop(key, None)
        self.told.append((key, inf))

    async def invalidate_tag(self, tag: str) -> None:
        self.check()
        self.stamps[tag] = self.clock.now()

    async def raise_floor(self) -> None:
        self.check()
        self.held.clear()

    async def lease(self, key: str, token: str, *, looked_us: int = 0) -> float:
        self.check()
        if self.stored_us.get(key, looked_us) > looked_us:
            return 0.001
        holder, until_s = self.leases.get(key, (token, 0.0))
        if holder != token and self.clock.now() < until_s:
            return until_s - self.clock.now()
        self.leases[key] = (token, self.clock.now() + EXACT.lease_s)
        return 0.0

    async def release(self, key: str, token: str) -> None:
        self.check()
        if self.leases.get(key, ("", 0.0))[0] == token:
            del self.leases[key]

    def keep(self, key: str, document: Document, ttl_s: float, as_of_us: int) -> bool:
        if key in self.held and self.held[key][0].version > document.version:
            return False
        self.held[key] = (document, self.clock.now() + ttl_s, as_of_us / 1e6)
        return True

    def check(self) -> None:
        if self.is_down:
            raise DependencyFailed("redis", ConnectionRefusedError())


class Truth:
    """The store: versions by key, and what happens while it is asked."""

    def __init__(self) -> None:
        self.versions: dict[str, int] = {"a": 1}
        self.tags: tuple[str, ...] = ()
        self.loads = 0
        self.is_down = False
        self.gate: asyncio.Event | None = None
        self.asked = asyncio.Event()

    async def load(self, key: str) -> Document:
        self.loads += 1
        document = self.document(key)
        self.asked.set()
        if self.gate:
            await self.gate.wait()
        if self.is_down:
            raise DependencyFailed("postgres", ConnectionRefusedError())
        return document

    async def commit(self) -> Document:
        if self.is_down:
            raise DependencyFailed("postgres", ConnectionRefusedError())
        self.versions["a"] = self.versions.get("a", 0) + 1
        return self.document("a")

    def document(self, key: str) -> Document:
        version = self.versions.get(key, 0)
        return Document(version, b"v%d" % version, self.tags) if version else ABSENT


class World:
    """One truth, one L2, and replicas over them."""

    def __init__(self, policy: CachePolicy = EXACT, max_bytes: int = 1_000_000) -> None:
        self.clock, self.truth = FakeClock(), Truth()
        self.shared = SharedDouble(self.clock)
        self.policy, self.max_bytes, self.seeds = policy, max_bytes, count(1)
        self.cache = self.replica()

    def replica(self, sleep=asyncio.sleep) -> Cache:
        debts = Debts(self.shared, ttl_s=TTL_S)
        memory = MemoryLevel(self.max_bytes)
        self.debts, self.memory = debts, memory
        dice = Random(next(self.seeds))
        return Cache(
            memory, self.shared, debts, self.truth.load, self.policy, clock=self.clock, random=dice, sleep=sleep
        )


async def read(cache: Cache, key: str = "a") -> tuple[int, str]:
    """Return what version a reader gets and from where."""
    reading = await cache.get(key)
    return reading.document.version, reading.source.value


async def settled(cache: Cache) -> None:
    """Let everything under way end."""
    while cache._tasks:
        await asyncio.wait(set(cache._tasks))
