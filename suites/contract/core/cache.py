"""What every cache that loads what it lacks must keep: C1 to C9 and NEG, written once for any of them.

An adapter builds a cache over a loader and says what it offers; what it does not offer is skipped as such and no
failure. A suite of one cache is a subclass with its adapter. C10 and C11, which are about time, are for benchmarks.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Protocol

import pytest

from harness.clock import FakeClock
from suites.support.dice import dice_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

TTL_S, GRACE_S = 5.0, 30.0
MAX_BYTES = 200_000
BOUND_S = 5.0
"""How long after an invalidation another replica may serve what it held."""


class AwayError(Exception):
    """The loader cannot say; an adapter turns it into what its cache takes for an outage."""


class Cached(Protocol):
    """One cache under test, of one replica."""

    async def get(self, key: str) -> bytes | None:
        """Return what is cached or loaded; None if there is no such thing. Raises `AwayError` if the loader did."""

    async def invalidate(self, key: str) -> None:
        """Serve nothing of `key` that was loaded before now."""

    def used_bytes(self) -> int:
        """Return what it takes itself to hold, bytes."""

    def counts(self) -> tuple[int, int, int]:
        """Return reads, of these hits, and loads."""


class CacheAdapter(Protocol):
    """How a cache is built.

    Attributes:
        offers: Of `single_flight`, `cancel_safe`, `absent`, `invalidate`, `fence`, `bytes`, `counts`, `ttl`,
            `stale_if_error`, `replicas` (several over one shared level), `lease` (one load among them), `bus` (told of
            invalidations), `l2_down` (can be built over a shared level that is away).
    """

    offers: frozenset[str]

    def build(
        self,
        load: Callable[[str], Awaitable[bytes | None]],
        *,
        clock: FakeClock,
        replica: str = "one",
        is_l2_up: bool = True,
    ) -> AbstractAsyncContextManager[Cached]:
        """Return a cache with `TTL_S`, `GRACE_S` and `MAX_BYTES`; absence is believed for less than `TTL_S`."""


class Source:
    """What is true, and what happens while it is asked."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {"a": b"one"}
        self.loads = 0
        self.trouble: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.asked = asyncio.Event()

    async def load(self, key: str) -> bytes | None:
        self.loads += 1
        value, trouble = self.values.get(key), self.trouble
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        if trouble is not None:
            raise trouble
        return value


BODIES = [
    b"",
    b"x",
    b"a line\n" * 2,
    bytes(range(256)) * 20,
    b'{"id": 1, "value": "a row"},' * 400,
    Random(1).randbytes(9000),
]


class CacheContract:
    """The suite; give it an `adapter`."""

    adapter: CacheAdapter

    def need(self, *offers: str) -> None:
        if missing := sorted({*offers} - self.adapter.offers):
            pytest.skip(f"not offered: {', '.join(missing)}")

    @pytest.fixture
    def source(self):
        return Source()

    @pytest.fixture
    def clock(self):
        return FakeClock(1000.0)

    async def test_it_loads_what_it_lacks_and_keeps_it(self, source, clock):
        """Ten reads of two keys are two loads, and each has its own value (C8)."""
        source.values["b"] = b"two"
        async with self.adapter.build(source.load, clock=clock) as cache:
            assert [await cache.get(key) for key in "ababababab"] == [b"one", b"two"] * 5

        assert source.loads == 2

    @pytest.mark.parametrize("body", BODIES, ids=lambda body: f"{len(body)} bytes")
    async def test_it_gives_back_what_was_loaded(self, source, clock, body):
        """Whatever it makes of it on the way (C8)."""
        source.values["a"] = body
        async with self.adapter.build(source.load, clock=clock) as cache:
            assert [await cache.get("a"), await cache.get("a")] == [body, body]

    async def test_cold_readers_cause_one_load(self, source, clock):
        """A hundred at once (C3)."""
        self.need("single_flight")
        source.gate = asyncio.Event()
        async with self.adapter.build(source.load, clock=clock) as cache:
            readers = [asyncio.create_task(cache.get("a")) for _ in range(100)]
            await source.asked.wait()
            source.gate.set()

            assert await asyncio.gather(*readers) == [b"one"] * 100
        assert source.loads == 1

    @pytest.mark.parametrize("gone", [(0,), (0, 1, 2), (4, 9), tuple(range(9))], ids=str)
    async def test_a_reader_that_goes_away_hurts_no_other(self, source, clock, gone):
        """Any of ten, the first too: the others have their value, and it is loaded once (C4)."""
        self.need("single_flight", "cancel_safe")
        source.gate = asyncio.Event()
        async with self.adapter.build(source.load, clock=clock) as cache:
            readers = [asyncio.create_task(cache.get("a")) for _ in range(10)]
            await source.asked.wait()
            for index in gone:
                readers[index].cancel()
            await asyncio.sleep(0)
            source.gate.set()
            results = await asyncio.gather(*readers, return_exceptions=True)

            assert [each for index, each in enumerate(results) if index not in gone] == [b"one"] * (10 - len(gone))
        assert source.loads == 1

    async def test_an_error_goes_to_all_its_readers_and_is_not_kept(self, source, clock):
        """All of that load hear of it; the next reader asks again."""
        self.need("single_flight")
        source.gate, source.trouble = asyncio.Event(), AwayError()
        async with self.adapter.build(source.load, clock=clock) as cache:
            readers = [asyncio.create_task(cache.get("a")) for _ in range(5)]
            await source.asked.wait()
            source.gate.set()
            results = await asyncio.gather(*readers, return_exceptions=True)
            source.trouble = None

            assert [type(each) for each in results] == [AwayError] * 5
            assert source.loads == 1
            assert await cache.get("a") == b"one"

    async def test_absence_is_kept_for_a_short_time(self, source, clock):
        """Five reads of what does not exist are one load; written, it is found when that time is over (NEG)."""
        self.need("absent")
        async with self.adapter.build(source.load, clock=clock) as cache:
            assert [await cache.get("none") for _ in range(5)] == [None] * 5
            assert source.loads == 1

            if "ttl" in self.adapter.offers:
                source.values["none"] = b"made"
                clock.advance(TTL_S)
                assert await cache.get("none") == b"made"

    async def test_absence_stands_in_for_no_error(self, source, clock):
        """It may have been written since (NEG)."""
        self.need("absent", "stale_if_error")
        async with self.adapter.build(source.load, clock=clock) as cache:
            await cache.get("none")
            source.trouble = AwayError()
            clock.advance(TTL_S)
            with pytest.raises(AwayError):
                await cache.get("none")

    async def test_a_value_is_served_for_its_time_and_no_longer(self, source, clock):
        """To the last tenth that jitter may take, not past its end, and each load begins it anew (C5, C7)."""
        self.need("ttl")
        async with self.adapter.build(source.load, clock=clock) as cache:
            for value in (b"one", b"two", b"three"):
                source.values["a"] = value
                assert await cache.get("a") == value
                source.values["a"] = b"later"
                clock.advance(0.89 * TTL_S)
                assert await cache.get("a") == value
                clock.advance(0.11 * TTL_S + 0.001)
        assert source.loads == 3

    async def test_a_stale_value_stands_in_for_an_error_up_to_its_bound(self, source, clock):
        """Served every second it still ends: serving does not prolong it (C5)."""
        self.need("ttl", "stale_if_error")
        async with self.adapter.build(source.load, clock=clock) as cache:
            await cache.get("a")
            source.trouble = AwayError()
            clock.advance(TTL_S)
            served_s = 0
            with pytest.raises(AwayError):
                for _ in range(1000):
                    assert await cache.get("a") == b"one"
                    served_s += 1
                    clock.advance(1)

        assert 0 < served_s <= GRACE_S + TTL_S

    async def test_nothing_of_before_an_invalidation_is_served(self, source, clock):
        """A read that starts after it has the new value (C6)."""
        self.need("invalidate")
        async with self.adapter.build(source.load, clock=clock) as cache:
            await cache.get("a")
            source.values["a"] = b"two"
            await cache.invalidate("a")

            assert await cache.get("a") == b"two"

    async def test_a_load_that_an_invalidation_overtook_is_not_kept(self, source, clock):
        """It read the old value, and comes back after the invalidation: no later reader sees what it brings (C6')."""
        self.need("invalidate", "fence")
        source.gate = asyncio.Event()
        async with self.adapter.build(source.load, clock=clock) as cache:
            slow = asyncio.create_task(cache.get("a"))
            await source.asked.wait()
            source.values["a"] = b"two"
            await cache.invalidate("a")
            source.gate.set()
            await slow

            assert [await cache.get("a"), await cache.get("a")] == [b"two", b"two"]

    async def test_it_holds_no_more_than_its_bound(self, source, clock):
        """Two hundred values of a kilobyte in 200 kB: the bound holds after each, and most of it is used (C1)."""
        self.need("bytes")
        async with self.adapter.build(source.load, clock=clock) as cache:
            for number in range(200):
                source.values[str(number)] = bytes(1000)
                await cache.get(str(number))
                assert cache.used_bytes() <= MAX_BYTES

            assert cache.used_bytes() > 0.8 * MAX_BYTES

    async def test_its_counts_add_up(self, source, clock):
        """Each read is counted once, hits are those without a load, and loads are what the source saw (C2)."""
        self.need("counts")
        source.values |= {str(number): b"x" for number in range(10)}
        dice = dice_of(1)
        async with self.adapter.build(source.load, clock=clock) as cache:
            hits = 0
            for number in range(1, 300):
                before = source.loads
                await cache.get(str(dice.randrange(12)))
                hits += source.loads == before
                assert cache.counts() == (number, hits, source.loads)

    async def test_replicas_read_what_one_of_them_loaded(self, source, clock):
        """The second finds it in the shared level."""
        self.need("replicas")
        async with (
            self.adapter.build(source.load, clock=clock, replica="one") as one,
            self.adapter.build(source.load, clock=clock, replica="two") as two,
        ):
            assert [await one.get("a"), await two.get("a")] == [b"one", b"one"]
        assert source.loads == 1

    async def test_cold_readers_of_all_replicas_cause_one_load(self, source, clock):
        """Fifty on each of two (C3)."""
        self.need("replicas", "lease")
        source.gate = asyncio.Event()
        async with (
            self.adapter.build(source.load, clock=clock, replica="one") as one,
            self.adapter.build(source.load, clock=clock, replica="two") as two,
        ):
            readers = [asyncio.create_task(cache.get("a")) for cache in (one, two) for _ in range(50)]
            await source.asked.wait()
            source.gate.set()

            assert await asyncio.gather(*readers) == [b"one"] * 100
        assert source.loads == 1

    async def test_an_invalidation_reaches_the_other_replicas(self, source, clock):
        """With the news, or when its bound is over (C6)."""
        self.need("replicas", "invalidate", "bus")
        async with (
            self.adapter.build(source.load, clock=clock, replica="one") as one,
            self.adapter.build(source.load, clock=clock, replica="two") as two,
        ):
            await one.get("a")
            await two.get("a")
            source.values["a"] = b"two"
            await one.invalidate("a")

            async with asyncio.timeout(BOUND_S):
                while await two.get("a") != b"two":  # noqa: ASYNC110 - that news has come is not an event of its own
                    await asyncio.sleep(0.005)
            assert [await one.get("a"), await two.get("a")] == [b"two", b"two"]

    async def test_it_goes_on_without_its_shared_level(self, source, clock):
        """Reads are loaded and kept in memory, invalidations succeed, and nothing raises (C9)."""
        self.need("l2_down")
        async with self.adapter.build(source.load, clock=clock, is_l2_up=False) as cache:
            assert [await cache.get("a"), await cache.get("a")] == [b"one", b"one"]
            assert source.loads == 1
            source.values["a"] = b"two"
            await cache.invalidate("a")
            assert await cache.get("a") == b"two"
