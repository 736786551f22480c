"""Each seeded defect of the cache against the healthy one: the same check, once red and once green."""

from __future__ import annotations

import asyncio
from random import Random
from time import thread_time

import pytest

from fixtures.defects import installed
from fixtures.reference.clock import MonotonicClock
from fixtures.reference.core.cache import CachePolicy, Document, MemoryLevel, Slot
from fixtures.reference.core.cache._shared import CHANNEL, PREFIX
from fixtures.reference.documents import key_of
from fixtures.reference.parts import Design
from harness.clock import FakeClock
from suites.contract.core.cache import GRACE_S, TTL_S, AwayError, Source
from suites.support.core.caches import Ours
from suites.support.core.cacheworld import settled
from suites.support.replicas import until

HOUR_S = 3600.0
L1_TTL_S = 1.0  # longer than a signature is late on a busy machine
QUICK = {"l1_ttl_s": L1_TTL_S}


@pytest.fixture
def source():
    """What is true."""
    return Source()


@pytest.fixture
def clock():
    """What a cache without Redis goes by."""
    return FakeClock(1000.0)


@pytest.fixture
def cached(redis_port, dead_port):
    """Make caches with a defect, alone on a clock that tests step, or with Redis and its time."""

    def make(source, clock, defect: str, *, is_shared: bool = False, refresh_ratio: float = 1.0):
        design = installed(defect, Design())
        ours = Ours(redis_port, dead_port, is_shared=is_shared, design=design, refresh_ratio=refresh_ratio)
        return ours.build(source.load, clock=clock)

    return make


@pytest.mark.parametrize(("defect", "stores"), [("", True), ("cache-never-stores", False)])
async def test_cache_levels_store_unless_they_never_do(linked, defect, stores):
    """What is put into either healthy level is found there; the defective ones are empty for ever."""
    design = installed(defect, Design())
    memory, shared = design.memory(100_000), design.shared(linked(), CachePolicy(), clock=MonotonicClock())
    key = f"stored-{stores}"

    memory.put(key, Slot(Document(1, b"x"), 1, 1))
    await shared.fill(key, Document(1, b"x"), ttl_s=60, as_of_us=await shared.look_at_the_time())
    filled = await shared.get(key)
    await shared.supersede(key, Document(2, b"y"), ttl_s=60, as_of_us=await shared.look_at_the_time())
    superseded = await shared.get(key)

    assert [memory.get(key) is not None, filled is not None, superseded is not None] == [stores] * 3


@pytest.mark.usefixtures("redis")
@pytest.mark.parametrize(("defect", "loads"), [("", 1), ("cache-loads-for-each", 100)])
async def test_a_hundred_cold_readers_cause_one_load_unless_each_loads(cached, source, clock, defect, loads):
    """All ask at once for what no level has (C3)."""
    source.gate = asyncio.Event()
    async with cached(source, clock, defect, is_shared=True) as cache:
        readers = [asyncio.create_task(cache.get("a")) for _ in range(100)]
        await source.asked.wait()
        source.gate.set()

        assert await asyncio.gather(*readers) == [b"one"] * 100
    assert source.loads == loads


@pytest.mark.parametrize(("defect", "answered"), [("", 9), ("cache-reader-ends-load", 0)])
async def test_a_reader_that_goes_away_hurts_no_other_unless_it_ends_the_load(cached, source, clock, defect, answered):
    """The first of ten goes away while they wait (C4)."""
    source.gate = asyncio.Event()
    async with cached(source, clock, defect) as cache:
        readers = [asyncio.create_task(cache.get("a")) for _ in range(10)]
        await source.asked.wait()
        readers[0].cancel()
        await asyncio.wait(readers[:1])
        source.gate.set()
        results = await asyncio.gather(*readers, return_exceptions=True)

    assert results.count(b"one") == answered


@pytest.mark.parametrize(("defect", "loads"), [("", 3), ("memory-keeps-old-deadlines", 5)])
async def test_each_load_begins_a_lifetime_unless_memory_keeps_the_old_ones(cached, source, clock, defect, loads):
    """Three lifetimes of two reads each are three loads (C7)."""
    async with cached(source, clock, defect) as cache:
        for _ in range(3):
            assert [await cache.get("a"), await cache.get("a")] == [b"one", b"one"]
            clock.advance(TTL_S)

    assert source.loads == loads


@pytest.mark.parametrize(("defect", "found"), [("", b"made"), ("cache-believes-absence", None)])
async def test_what_was_made_meanwhile_is_found_soon_unless_absence_is_believed(cached, source, clock, defect, found):
    """A fifth of a lifetime after it was asked for in vain (NEG)."""
    async with cached(source, clock, defect) as cache:
        assert await cache.get("none") is None
        source.values["none"] = b"made"
        clock.advance(TTL_S / 5)

        assert await cache.get("none") == found


@pytest.mark.parametrize(
    ("defect", "is_refused"), [("", True), ("cache-grace-without-end", False), ("cache-grace-begins-anew", False)]
)
async def test_a_stale_value_stands_in_up_to_its_bound_unless_grace_has_none(cached, source, clock, defect, is_refused):
    """Asked for every ten seconds of an outage of an hour (C5)."""
    async with cached(source, clock, defect) as cache:
        await cache.get("a")
        source.trouble, ended_s = AwayError(), clock.now() + HOUR_S
        answers = []
        while clock.now() < ended_s:
            clock.advance(GRACE_S / 3)
            answers += await asyncio.gather(cache.get("a"), return_exceptions=True)

    assert answers[0] == b"one"
    assert isinstance(answers[-1], AwayError) == is_refused


@pytest.mark.parametrize(("defect", "read"), [("", "new"), ("bus-deaf", "old")])
async def test_news_of_a_write_reach_the_other_replicas_unless_they_are_deaf(replicas, redis, item, defect, read):
    """No lifetime ends meanwhile: their clock stands still (C6)."""
    writer, _ = await replicas.start("writer")
    reader, _ = await replicas.start("reader", defect)
    await replicas.write(writer, item, "old")
    assert await replicas.held(reader, item) == "old"

    async with redis.pubsub() as witness:
        await witness.subscribe(CHANNEL)
        assert (await witness.get_message(timeout=30))["type"] == "subscribe"
        await replicas.write(writer, item, "new")
        assert (await witness.get_message(timeout=30))["type"] == "message"
    for _ in range(50):  # it was sent to all subscribers at once, and each answer is a turn of this loop for them
        await redis.ping()

    async def is_read() -> bool:
        return await replicas.read(reader, item) == read

    await until(is_read)  # on a busy machine the new value comes a few turns later; the deaf one reads the old at once


@pytest.mark.parametrize(("defect", "read"), [("", "new"), ("bus-forgets-gaps", "old")])
async def test_nothing_is_believed_after_a_gap_in_the_news_unless_it_is_forgotten(replicas, item, defect, read):
    """The reader is cut off while another replica writes, and hears the news again (C6)."""
    writer, _ = await replicas.start("writer")
    reader, relay = await replicas.start("reader", defect)
    await replicas.write(writer, item, "old")
    assert await replicas.held(reader, item) == "old"

    async def is_deaf() -> bool:
        return not reader.bus.is_listening

    async def hears() -> bool:
        return reader.bus.is_listening

    await relay.cut()
    await until(is_deaf)
    await replicas.write(writer, item, "new")
    await relay.mend()
    await until(hears)

    assert await replicas.read(reader, item) == read


@pytest.mark.parametrize(("defect", "read"), [("", "new"), ("debts-forgotten", "old")])
async def test_redis_hears_of_what_it_missed_unless_debts_are_forgotten(replicas, item, defect, read):
    """The writer is cut off while it writes; Redis has long been back, and the bound is over, when another reads (C6)."""
    writer, relay = await replicas.start("writer", defect, cache=QUICK)
    reader, _ = await replicas.start("reader", cache=QUICK)
    await replicas.write(writer, item, "old")
    assert await replicas.read(reader, item) == "old"

    await relay.cut()
    await replicas.write(writer, item, "new")
    await relay.mend()
    signed = writer.watermark.signed

    async def has_signed() -> bool:
        replicas.clock.advance(0.1)  # or its breaker would rest for ever
        return writer.watermark.signed > signed + 1

    await until(has_signed)
    await replicas.pass_time(1.5 * L1_TTL_S)

    assert await replicas.read(reader, item) == read


@pytest.mark.parametrize(("defect", "read"), [("", "new"), ("shared-believed-blindly", "old")])
async def test_no_reader_believes_redis_while_a_writer_is_cut_off_unless_blindly(replicas, item, defect, read):
    """The reader never lost Redis, which holds the old value for a minute yet; the bound is over (C6)."""
    writer, relay = await replicas.start("writer", cache=QUICK)
    reader, _ = await replicas.start("reader", defect, cache=QUICK)
    await replicas.write(writer, item, "old")
    assert await replicas.read(reader, item) == "old"

    await relay.cut()
    await replicas.write(writer, item, "new")
    await replicas.pass_time(1.5 * L1_TTL_S)

    assert await replicas.read(reader, item) == read


@pytest.mark.parametrize(("defect", "read"), [("", b"two"), ("cache-fills-unfenced", b"one")])
async def test_a_load_that_was_overtaken_is_not_kept_unless_fills_are_unfenced(cached, source, clock, defect, read):
    """It read the old value, and comes back after that was replaced (C6')."""
    source.gate = asyncio.Event()
    async with cached(source, clock, defect) as cache:
        slow = asyncio.create_task(cache.get("a"))
        await source.asked.wait()
        source.values["a"] = b"two"
        await cache.invalidate("a")
        source.gate.set()
        await slow

        assert await cache.get("a") == read


@pytest.mark.parametrize(("defect", "are_spread"), [("", True), ("cache-expires-at-once", False)])
async def test_what_was_loaded_together_expires_bit_by_bit_unless_at_once(cached, source, clock, defect, are_spread):
    """A twentieth before the end of their longest lifetime, some of two hundred have been loaded anew, and not all (C5)."""
    source.values |= {str(number): b"x" for number in range(200)}
    async with cached(source, clock, defect) as cache:
        for key in source.values:
            await cache.get(key)
        before = source.loads
        clock.advance(0.95 * TTL_S)
        for key in source.values:
            await cache.get(key)

    assert (20 < source.loads - before < 180) == are_spread


@pytest.mark.parametrize(("defect", "too_old"), [("", False), ("cache-lives-longer", True)])
async def test_no_value_outlives_its_time_unless_lives_are_longer(cached, source, clock, defect, too_old):
    """A hundredth after the end of the longest lifetime each of two hundred is loaded anew (C5)."""
    source.values |= {str(number): b"old" for number in range(200)}
    async with cached(source, clock, defect) as cache:
        for key in source.values:
            await cache.get(key)
        source.values = dict.fromkeys(source.values, b"new")
        clock.advance(1.01 * TTL_S)
        served = {await cache.get(key) for key in source.values}

    assert (served > {b"new"}) == too_old


@pytest.mark.parametrize(("defect", "waits"), [("", False), ("cache-never-refreshes", True)])
async def test_readers_of_a_busy_item_wait_once_unless_it_is_never_refreshed(cached, source, clock, defect, waits):
    """Read twenty times in each of ten lifetimes: after the first load none of them waits for another one."""
    async with cached(source, clock, defect, refresh_ratio=0.8) as cache:
        for _ in range(200):
            await cache.get("a")
            await settled(cache.cache)
            clock.advance(TTL_S / 20)

        assert (cache.cache.statistics().l3 > 1) == waits


@pytest.mark.parametrize(("defect", "is_within"), [("", True), ("memory-counts-entries", False)])
def test_memory_stays_within_its_bytes_unless_it_counts_entries(defect, is_within):
    """A hundred documents of eight kilobytes in a hundred kilobytes (C1)."""
    memory = installed(defect, Design()).memory(100_000)

    for number in range(100):
        memory.put(str(number), slot(8000))

    assert (memory.used_bytes <= 100_000) == is_within
    assert memory.used_bytes > 50_000


@pytest.mark.parametrize(("defect", "held"), [("", 50), ("memory-leaks-bytes", 0)])
def test_memory_has_room_after_any_number_of_writes_unless_it_leaks_bytes(defect, held):
    """One item is written a thousand times; then there is room for fifty others (C1)."""
    memory = installed(defect, Design()).memory(100_000)
    for _ in range(1000):
        memory.put("busy", slot(1000))

    for number in range(50):
        memory.put(str(number), slot(1000))

    assert sum(memory.get(str(number)) is not None for number in range(50)) == held


@pytest.mark.parametrize(("defect", "is_constant"), [("", True), ("memory-counts-all", False)])
def test_a_write_takes_as_long_however_much_is_held_unless_all_is_counted(defect, is_constant):
    """Forty thousand items in the place of forty: not ten times as long (C10)."""

    def quickest_s(held: int) -> float:
        memory = installed(defect, Design()).memory(10**9)
        for number in range(held):
            MemoryLevel.put(memory, str(number), slot(1))
        return min(time_of(lambda: memory.put("0", slot(1))) for _ in range(30))

    assert (quickest_s(40_000) < 10 * quickest_s(40)) == is_constant


@pytest.mark.parametrize(("defect", "held"), [("", 100), ("memory-evicts-the-oldest", 0)])
def test_one_that_reads_all_once_pushes_out_nothing_unless_the_oldest_goes(defect, held):
    """A hundred items are read again and again; then one client reads two thousand others, each once."""
    memory = installed(defect, Design()).memory(200_000)
    for _ in range(5):
        for number in range(100):
            if memory.get(f"popular-{number}") is None:
                memory.put(f"popular-{number}", slot(100))

    for number in range(2000):
        memory.put(f"once-{number}", slot(100))

    assert sum(memory.get(f"popular-{number}") is not None for number in range(100)) == held


@pytest.mark.parametrize(("defect", "is_whole"), [("", True), ("shared-takes-what-is-torn", False)])
async def test_what_is_torn_in_redis_is_loaded_anew_unless_it_is_taken(replicas, redis, item, defect, is_whole):
    """A large value loses its end there; another replica reads it (C8)."""
    value = Random(1).randbytes(5000).hex()  # deflated, to about half of it
    writer, _ = await replicas.start("writer")
    await replicas.write(writer, item, value)
    key = PREFIX + key_of("", item)
    stored = await redis.get(key)
    await redis.set(key, stored[: len(stored) // 2], keepttl=True)

    reader, _ = await replicas.start("reader", defect)
    (body,) = await asyncio.gather(replicas.read(reader, item), return_exceptions=True)

    assert (body == value) == is_whole


@pytest.mark.parametrize(("defect", "counted"), [("", 6), ("cache-counts-what-expired", 8)])
async def test_each_read_is_counted_once_unless_what_expired_counts_too(cached, source, clock, defect, counted):
    """Two reads in each of three lifetimes (C2)."""
    async with cached(source, clock, defect) as cache:
        for _ in range(3):
            await cache.get("a")
            await cache.get("a")
            clock.advance(TTL_S)

        reads, _, _ = cache.counts()
    assert reads == counted


def slot(size: int) -> Slot:
    """A document of so many bytes, fresh for ever."""
    return Slot(Document(1, bytes(size)), 1e9, 1e9)


def time_of(work) -> float:
    """Return what some work takes of this thread's time, whatever else the machine does."""
    began_s = thread_time()
    for _ in range(5):
        work()
    return thread_time() - began_s
