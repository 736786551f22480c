"""What every cache that loads what it lacks must keep: C1 to C11, NEG and T1, written once for any of them.

An adapter builds a cache over a loader and says what it offers; what it does not offer is skipped as such and no
failure. A suite of one cache is a subclass with its adapter. A cache may live on a clock that the suite steps, or in real
time, where that clock lets it pass: so a test that says what is still held looks how much of it did.

C10 and C11 are about time. They count what this thread computed, which other processes do not disturb much, and compare
what grows with the number of entries with what must not; how quick ours is, is for benchmarks.
"""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import contextmanager
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Protocol

import pytest

from harness.clock import FakeClock
from suites.support.dice import dice_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

TTL_S, GRACE_S = 5.0, 30.0
MAX_BYTES = 200_000
BOUND_S = 5.0
"""How long after an invalidation another replica may serve what it held."""
SOON_S = 1e-3
"""Just after a moment."""
STALL_S = 0.001
"""What one turn of the loop may compute for thousands of entries, if it is to be 5 ms for a million."""
ENTRY_BYTES = 500
"""What a small entry is taken for where a cache counts entries, or lets one say what they weigh; of ours it is more."""
FEW, MANY = 200, 2000
"""Entries that there is room for."""


OFFERS = {
    "single_flight": "one load answers for all that ask meanwhile",
    "absent": "what does not exist is kept, too",
    "absent_briefly": "for a tenth of `TTL_S`",
    "invalidate": "of one key",
    "clear": "of all keys",
    "write": "through the cache",
    "fence": "what a load brings never undoes an invalidation or a write",
    "bytes": "bounded, and told",
    "counts": "of reads, hits and loads",
    "ttl": "lifetimes, on the clock of the suite",
    "ends": "no lifetime is an endless one",
    "stale_if_error": "a value stands in for an error until its grace is over",
    "memory": "all of it is held in this process",
    "replicas": "several over one shared level",
    "lease": "one load among them",
    "bus": "they are told of each other's invalidations",
    "l2_down": "works over a shared level that is away",
    "levels": "holds in memory what it cannot share",
}
"""What a cache may say that it does."""


class AwayError(Exception):
    """The loader cannot say; an adapter turns it into what its cache takes for an outage."""


class Cached(Protocol):
    """One cache under test, of one replica."""

    async def get(self, key: str) -> bytes | None:
        """Return what is cached or loaded; None if there is no such thing. Raises `AwayError` if the loader did."""

    async def invalidate(self, key: str) -> None:
        """Serve nothing of `key` that was loaded before now."""

    async def clear(self) -> None:
        """Serve nothing that was loaded before now."""

    async def write(self, key: str, body: bytes, commit: Callable[[], None]) -> None:
        """Call `commit`, which makes it true, and serve `body` from then on; no lifetime is named."""

    def used_bytes(self) -> int:
        """Return what it takes itself to hold, bytes."""

    def counts(self) -> tuple[int, int, int]:
        """Return reads, of these hits, and loads."""


class CacheAdapter(Protocol):
    """How a cache is built.

    Attributes:
        offers: Some of `OFFERS`.
    """

    offers: frozenset[str]

    def build(
        self,
        load: Callable[[str], Awaitable[bytes | None]],
        *,
        clock: FakeClock,
        replica: str = "one",
        is_l2_up: bool = True,
        ttl_s: float = TTL_S,
        max_bytes: int = MAX_BYTES,
    ) -> AbstractAsyncContextManager[Cached]:
        """Return a cache with `GRACE_S` and these bounds; one that does not offer `ttl` may keep for longer."""


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
        assert {*offers} <= OFFERS.keys()
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
        self.need("single_flight")
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

    async def test_one_slow_load_holds_up_no_other_key(self, source, clock):
        """A reader of another key has its value meanwhile (C3)."""
        source.values["b"], source.gate = b"two", asyncio.Event()
        async with self.adapter.build(source.load, clock=clock) as cache:
            slow = asyncio.create_task(cache.get("a"))
            await source.asked.wait()
            hung, source.gate = source.gate, None
            async with asyncio.timeout(BOUND_S):
                assert await cache.get("b") == b"two"
            assert not slow.done()
            hung.set()
            assert await slow == b"one"

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
                clock.advance(TTL_S + SOON_S)
                assert await cache.get("none") == b"made"

    async def test_absence_is_believed_for_less_than_a_value(self, source, clock):
        """A tenth of its time: what is created is soon found (NEG)."""
        self.need("absent_briefly", "ttl")
        async with self.adapter.build(source.load, clock=clock) as cache:
            await cache.get("none")
            source.values["none"] = b"made"
            clock.advance(0.1 * TTL_S + SOON_S)
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
                source.values["a"], began_s = value, clock.now()
                assert await cache.get("a") == value
                source.values["a"] = b"later"
                clock.advance(0.89 * TTL_S)
                kept = await cache.get("a")
                if clock.now() - began_s < 0.9 * TTL_S:
                    assert kept == value
                clock.advance((0.11 if kept == value else 1) * TTL_S + SOON_S)

    async def test_what_is_written_lives_for_a_time_of_its_own(self, source, clock):
        """Not only for what was left of the time of what it took the place of (C7)."""
        self.need("ttl", "write")
        async with self.adapter.build(source.load, clock=clock) as cache:
            await cache.get("a")
            clock.advance(0.6 * TTL_S)
            began_s = clock.now()
            await cache.write("a", b"two", lambda: source.values.update(a=b"two"))
            source.values["a"] = b"later"
            clock.advance(0.5 * TTL_S)
            kept = await cache.get("a")
            if clock.now() - began_s < 0.9 * TTL_S:
                assert kept == b"two"

    async def test_what_is_loaded_after_all_was_cleared_lives_for_its_time(self, source, clock):
        """What was cleared is loaded again, and takes nothing of the time of what was there before (C7)."""
        self.need("ttl", "clear")
        async with self.adapter.build(source.load, clock=clock) as cache:
            await cache.get("a")
            clock.advance(0.6 * TTL_S)
            source.values["a"], began_s = b"two", clock.now()
            await cache.clear()
            assert await cache.get("a") == b"two"
            source.values["a"] = b"later"
            clock.advance(0.5 * TTL_S)
            kept = await cache.get("a")
            if clock.now() - began_s < 0.9 * TTL_S:
                assert kept == b"two"

    @pytest.mark.parametrize("ttl_s", [0, -1])
    async def test_no_lifetime_is_for_ever(self, source, clock, ttl_s):
        """One of no time, or of less, is refused, or nothing is kept for long (C7)."""
        self.need("ttl", "ends")
        try:
            async with self.adapter.build(source.load, clock=clock, ttl_s=ttl_s) as cache:
                await cache.get("a")
                source.values["a"] = b"two"
                clock.advance(100 * TTL_S)
                kept = await cache.get("a")
        except Exception:  # noqa: BLE001 - what is refused is refused with an error of its own kind
            return
        assert kept == b"two"

    @pytest.mark.parametrize("hours", [1, -1])
    async def test_the_wall_clock_decides_nothing(self, source, clock, monkeypatch, hours):
        """Stepped an hour either way, it neither ends a lifetime nor prolongs it (T1)."""
        self.need("ttl")
        wall, wall_ns = time.time, time.time_ns
        async with self.adapter.build(source.load, clock=clock) as cache:
            began_s = clock.now()
            await cache.get("a")
            source.values["a"] = b"two"
            monkeypatch.setattr(time, "time", lambda: wall() + hours * 3600)
            monkeypatch.setattr(time, "time_ns", lambda: wall_ns() + hours * 3600 * 10**9)
            clock.advance(0.1 * TTL_S)
            kept = await cache.get("a")
            if clock.now() - began_s < 0.9 * TTL_S:
                assert kept == b"one"
            clock.advance(TTL_S + SOON_S)

            assert await cache.get("a") == b"two"

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

    async def test_a_load_that_a_write_overtook_is_not_kept(self, source, clock):
        """It read the old value, and comes back after the write: no later reader sees what it brings (C6')."""
        self.need("write", "fence")
        source.gate = asyncio.Event()
        async with self.adapter.build(source.load, clock=clock) as cache:
            slow = asyncio.create_task(cache.get("a"))
            await source.asked.wait()
            await cache.write("a", b"two", lambda: source.values.update(a=b"two"))
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

    async def test_what_it_holds_no_longer_is_not_counted(self, source, clock):
        """Loaded larger and smaller many times over, two values are as many bytes as they are (C1)."""
        self.need("bytes", "invalidate")
        async with self.adapter.build(source.load, clock=clock) as cache:
            for _ in range(10):
                for size in (10_000, 10):
                    source.values |= {"a": bytes(size), "b": bytes(size)}
                    for key in "ab":
                        await cache.invalidate(key)
                        await cache.get(key)
                    assert 2 * size <= cache.used_bytes() <= 2 * (size + 1000)

            await cache.invalidate("a")
            await cache.invalidate("b")
            assert cache.used_bytes() <= 1000

    async def test_a_value_beyond_its_bound_is_served_all_the_same(self, source, clock):
        """It reaches its reader, and the bound holds (C1, C8)."""
        self.need("bytes")
        source.values["huge"] = bytes(2 * MAX_BYTES)
        async with self.adapter.build(source.load, clock=clock) as cache:
            assert await cache.get("huge") == source.values["huge"]
            assert await cache.get("a") == b"one"
            assert cache.used_bytes() <= MAX_BYTES

    async def test_readers_of_one_load_are_counted_once_each(self, source, clock):
        """A hundred cold readers are a hundred reads and one load (C2, C3)."""
        self.need("counts", "single_flight")
        source.gate = asyncio.Event()
        async with self.adapter.build(source.load, clock=clock) as cache:
            readers = [asyncio.create_task(cache.get("a")) for _ in range(100)]
            await source.asked.wait()
            source.gate.set()
            await asyncio.gather(*readers)

            reads, _, loads = cache.counts()
            assert (reads, loads) == (100, 1)

    async def test_what_has_expired_is_no_hit(self, source, clock):
        """Two reads with its lifetime between them are two loads and no hit (C2)."""
        self.need("counts", "ttl")
        async with self.adapter.build(source.load, clock=clock) as cache:
            await cache.get("a")
            clock.advance(TTL_S + SOON_S)
            await cache.get("a")

            assert cache.counts() == (2, 0, 2)

    async def test_what_a_load_costs_does_not_grow_with_what_is_held(self, source, clock):
        """Each new key in the place of another: with thousands held it computes at most twice what it does with few (C10)."""
        self.need("memory")
        async with (
            self.adapter.build(source.load, clock=clock, max_bytes=FEW * ENTRY_BYTES) as few,
            self.adapter.build(source.load, clock=clock, max_bytes=MANY * ENTRY_BYTES) as many,
        ):
            for cache, held in ((few, FEW), (many, MANY)):
                await self.load(cache, range(held))
            with no_garbage_collection():
                laps = [range(start, start + 50) for start in range(MANY, MANY + 500, 50)]
                costs = [(await self.load(few, lap), await self.load(many, lap)) for lap in laps]

        assert median(of_many / of_few for of_few, of_many in costs) <= 2

    async def test_it_holds_up_the_loop_for_no_long_time(self, source, clock):
        """Thousands are held and none is due: whatever it does for them now and then, no turn is long (C11)."""
        self.need("memory")
        async with self.adapter.build(source.load, clock=clock, max_bytes=2 * MANY * ENTRY_BYTES) as cache:
            await self.load(cache, range(MANY))
            longest_s = []
            with no_garbage_collection():
                for _ in range(3):
                    clock.advance(0.25 * TTL_S)
                    longest_s.append(await longest_turn_s())

        assert min(longest_s) < STALL_S

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

    async def test_replicas_that_write_at_once_agree(self, source, clock):
        """Both write the same keys at the same time: soon neither serves what it wrote where the other one was later (C6)."""
        self.need("replicas", "write", "bus")
        keys = [str(number) for number in range(200)]
        async with (
            self.adapter.build(source.load, clock=clock, replica="one") as one,
            self.adapter.build(source.load, clock=clock, replica="two") as two,
        ):
            writes = [
                cache.write(key, body, lambda key=key, body=body: source.values.update({key: body}))
                for key in keys
                for cache, body in ((one, b"of one"), (two, b"of two"))
            ]
            await asyncio.gather(*writes)

            async def read_all(*caches: Cached) -> list[list[bytes | None]]:
                return [await asyncio.gather(*(cache.get(key) for key in keys)) for cache in caches]

            wrote_s, is_late, held = time.monotonic(), False, await read_all(one, two)
            while held[0] != held[1]:
                assert not is_late, "read after the bound, and they differ"
                await asyncio.sleep(0.05)
                is_late, held = time.monotonic() - wrote_s > BOUND_S, await read_all(one, two)
            if "fence" in self.adapter.offers:
                assert held[0] == [source.values[key] for key in keys]

    async def test_it_goes_on_without_its_shared_level(self, source, clock):
        """Reads are loaded, invalidations succeed, and nothing raises (C9)."""
        self.need("l2_down")
        async with self.adapter.build(source.load, clock=clock, is_l2_up=False) as cache:
            assert [await cache.get("a"), await cache.get("a")] == [b"one", b"one"]
            if "levels" in self.adapter.offers:
                assert source.loads == 1
            source.values["a"] = b"two"
            await cache.invalidate("a")
            assert await cache.get("a") == b"two"

    @staticmethod
    async def load(cache: Cached, numbers: range) -> float:
        """Read so many keys; return what this thread computed meanwhile, seconds."""
        began_s = time.thread_time()
        for number in numbers:
            await cache.get(f"key-{number}")
        return time.thread_time() - began_s


async def longest_turn_s() -> float:
    """Return the most that this thread computed in one of the next turns of the loop, seconds."""
    longest_s, before_s = 0.0, time.thread_time()
    for _ in range(50):
        await asyncio.sleep(0)
        now_s = time.thread_time()
        longest_s, before_s = max(longest_s, now_s - before_s), now_s
    return longest_s


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Search for no garbage: how long that takes depends on what the whole process holds."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
