"""The cache against its promises; invariants C1 to C9 are named in the tests that hold them.

L2 is a dictionary on the fake clock here, with the same fence; the real one is met in test_shared_level.py,
test_staleness.py and in the tests of the endpoints.
"""

from __future__ import annotations

import asyncio

import pytest

from fixtures.reference.core.breaker import DependencyFailed
from fixtures.reference.core.cache import CachePolicy, Document, Source
from suites.support.core.cacheworld import GRACE_S, L1_TTL_S, TTL_S, World, read


async def test_cache_answers_from_the_nearest_level_that_is_fresh(world):
    """Cold it loads; then L1 answers for 5 s, L2 until 60 s, then it loads again."""
    seen = [await read(world.cache)]
    for seconds in (4.9, 0.1, 4.9, 50.1):
        world.clock.advance(seconds)
        seen.append(await read(world.cache))

    assert seen == [(1, "l3"), (1, "l1"), (1, "l2"), (1, "l1"), (1, "l3")]
    assert world.truth.loads == 2


async def test_cache_counts_every_read_once(world):
    """Reads are the sum over all sources, and loads are no more than the reads that missed (C2)."""
    for _ in range(30):
        await read(world.cache)
        world.clock.advance(3)

    assert sum(world.cache.reads.values()) == 30
    assert world.cache.loads == world.cache.reads[Source.L3] == world.truth.loads


async def test_cache_loads_once_for_a_hundred_cold_readers(world):
    """A hundred readers of a cold key cause one load (C3)."""
    world.truth.gate = asyncio.Event()
    readers = [asyncio.create_task(read(world.cache)) for _ in range(100)]
    await world.truth.asked.wait()
    world.truth.gate.set()

    assert await asyncio.gather(*readers) == [(1, "l3")] * 100
    assert world.truth.loads == 1


@pytest.mark.parametrize("gone", [(0,), (0, 1, 2), (5, 9), tuple(range(9))])
async def test_cache_does_not_hurt_readers_when_others_go_away(world, gone):
    """Cancelling any of ten readers, the first too, leaves the others their value, with one load (C4)."""
    world.truth.gate = asyncio.Event()
    readers = [asyncio.create_task(read(world.cache)) for _ in range(10)]
    await world.truth.asked.wait()
    for index in gone:
        readers[index].cancel()
    world.truth.gate.set()
    results = await asyncio.gather(*readers, return_exceptions=True)

    stayed = [result for index, result in enumerate(results) if index not in gone]
    assert stayed == [(1, "l3")] * (10 - len(gone))
    assert world.truth.loads == 1


async def test_cache_keeps_what_was_loaded_for_readers_who_all_went_away(world):
    """A load that nobody waits for any more still ends, and the next reader finds it."""
    world.truth.gate = asyncio.Event()
    reader = asyncio.create_task(read(world.cache))
    await world.truth.asked.wait()
    reader.cancel()
    world.truth.gate.set()
    await world.cache.close(within_s=1)

    assert await read(world.cache) == (1, "l1")


async def test_cache_gives_a_failed_load_to_all_its_readers_and_keeps_none_of_it(world):
    """All readers of that flight hear of the failure; the next one tries again."""
    world.truth.gate, world.truth.is_down = asyncio.Event(), True
    readers = [asyncio.create_task(read(world.cache)) for _ in range(5)]
    await world.truth.asked.wait()
    world.truth.gate.set()
    results = await asyncio.gather(*readers, return_exceptions=True)
    world.truth.is_down = False

    assert [type(result) for result in results] == [DependencyFailed] * 5
    assert world.truth.loads == 1
    assert await read(world.cache) == (1, "l3")


async def test_cache_serves_stale_in_place_of_an_error_and_never_past_the_grace(world):
    """With the store down a value is served as stale until ttl + grace, then the error comes through (C5)."""
    await read(world.cache)
    world.truth.is_down = True

    world.clock.advance(TTL_S)
    assert await read(world.cache) == (1, "stale")
    world.clock.advance(GRACE_S - 0.001)
    assert await read(world.cache) == (1, "stale")

    world.clock.advance(0.001)
    with pytest.raises(DependencyFailed):
        await world.cache.get("a")


async def test_cache_does_not_prolong_the_grace_by_serving_from_it(world):
    """A value read as stale every second still ends at ttl + grace (C5)."""
    await read(world.cache)
    world.truth.is_down = True
    world.clock.advance(TTL_S)
    served = 0

    with pytest.raises(DependencyFailed):
        for _ in range(100):
            await world.cache.get("a")
            served += 1
            world.clock.advance(1)

    assert served == GRACE_S


async def test_cache_serves_stale_from_memory_when_both_dependencies_are_down(world):
    """Redis and Postgres down: what memory holds within its grace is all there is, and it is served."""
    await read(world.cache)
    world.truth.is_down = world.shared.is_down = True
    world.clock.advance(TTL_S + 1)

    assert await read(world.cache) == (1, "stale")


async def test_cache_serves_stale_what_only_another_replica_has_read(world):
    """The grace is in L2 too: a replica that never read the key can stand in for the store."""
    await read(world.cache)
    other = world.replica()
    world.clock.advance(TTL_S + 1)
    world.truth.is_down = True

    assert await read(other) == (1, "stale")


async def test_cache_serves_the_newer_of_two_stale_ones(world):
    """Memory holds what it read long ago, L2 what another replica has written since; both are past their time."""
    await read(world.cache)
    world.clock.advance(TTL_S / 2)
    await world.shared.supersede("a", Document(2, b"v2"), ttl_s=TTL_S / 4, as_of_us=world.shared.moment_us)
    world.clock.advance(TTL_S / 2 + 1)
    world.truth.is_down = True

    assert await read(world.cache) == (2, "stale")


async def test_cache_keeps_in_memory_no_longer_than_l2_would(world):
    """What has two seconds left in L2 has two in memory as well, whatever the time to live there."""
    await read(world.cache)
    other = world.replica()
    world.clock.advance(TTL_S - 2)
    assert await read(other) == (1, "l2")

    world.clock.advance(1.999)
    assert await read(other) == (1, "l1")

    world.clock.advance(0.002)
    assert await read(other) == (1, "l3")


async def test_cache_remembers_what_does_not_exist_for_a_short_time(world):
    """Absence is believed for 5 s, is never served in place of an error, and ends when the item is written (C7)."""
    assert await read(world.cache, "none") == (0, "l3")
    assert await read(world.cache, "none") == (0, "l1")

    world.clock.advance(5)
    world.truth.is_down = True
    with pytest.raises(DependencyFailed):
        await world.cache.get("none")


async def test_cache_reads_the_new_value_after_a_write(world):
    """After the acknowledgement this replica reads the new value at once; the others after news of it (C6)."""
    other = world.replica()
    await read(world.cache)
    await read(other)

    await world.cache.write("a", world.truth.commit)

    assert await read(world.cache) == (2, "l1")
    assert world.shared.told == [("a", 2)]
    assert await read(other) == (1, "l1")
    other.drop_older("a", 2)
    assert await read(other) == (2, "l2")


async def test_cache_bounds_the_age_on_a_replica_that_hears_nothing(world):
    """Without any news another replica reads the old value for 5 s and no longer (C6)."""
    other = world.replica()
    await read(other)
    await world.cache.write("a", world.truth.commit)

    world.clock.advance(L1_TTL_S - 0.001)
    assert await read(other) == (1, "l1")
    world.clock.advance(0.001)
    assert await read(other) == (2, "l2")


async def test_cache_keeps_its_own_value_when_it_hears_its_own_news(world):
    """News of a version that we hold, or of an older one, changes nothing."""
    await world.cache.write("a", world.truth.commit)

    world.cache.drop_older("a", 2)
    world.cache.drop_older("a", 1)

    assert await read(world.cache) == (2, "l1")


async def test_cache_drops_everything_after_a_gap_in_the_news(world):
    """When news may have been missed, nothing in memory is believed."""
    await read(world.cache)

    world.cache.drop_all()

    assert await read(world.cache) == (1, "l2")


@pytest.mark.parametrize("how", ["a write here", "news of a write elsewhere", "a gap"])
async def test_cache_never_keeps_what_a_load_brings_after_a_write(world, how):
    """A load that read the old version and is overtaken by a write is kept nowhere (C6', the fence)."""
    world.truth.gate = asyncio.Event()
    slow = asyncio.create_task(read(world.cache))
    await world.truth.asked.wait()  # it has read version 1

    if how == "a write here":
        await world.cache.write("a", world.truth.commit)
    else:
        await world.replica().write("a", world.truth.commit)
        world.cache.drop_older("a", 2) if how == "news of a write elsewhere" else world.cache.drop_all()
    world.truth.gate.set()

    assert await slow == (1, "l3")  # it asked before the write
    assert (await read(world.cache))[0] == 2
    assert world.shared.held["a"][0].version == 2


@pytest.mark.parametrize("how", ["news", "a gap"])
async def test_cache_does_not_keep_a_write_of_its_own_that_another_one_overtook(world, how):
    """A newer version is announced before our own write is stored: ours must not bury it for the life of L1 (C6)."""

    def overtake() -> None:
        world.truth.versions["a"] = 3
        world.shared.held["a"] = (world.truth.document("a"), world.clock.now() + TTL_S, world.clock.now())
        world.cache.drop_older("a", 3) if how == "news" else world.cache.drop_all()

    world.shared.when_told = overtake
    await world.cache.write("a", world.truth.commit)

    assert await read(world.cache) == (3, "l2")
    assert (dict(world.cache._writers), world.cache._heard) == ({}, {})


@pytest.mark.parametrize("level", ["the store", "L2"])
async def test_cache_goes_back_to_no_write_of_its_own_that_is_older_than_an_answer(world, level):
    """Another replica commits while our write is under way, and a reader finds that; ours, stored later, is older (C6)."""
    found, go_on, readers = asyncio.Event(), asyncio.Event(), []

    async def wait_in_between() -> None:
        found.set()
        await go_on.wait()

    async def commit() -> Document:
        document = await world.truth.commit()
        newer = Document(3, b"v3")
        if level == "L2":
            world.shared.held["a"] = (newer, world.clock.now() + TTL_S, world.clock.now())
            world.shared.before_get = wait_in_between
        else:
            world.truth.versions["a"] = newer.version
            world.truth.gate, world.truth.asked = go_on, found
        readers.append(asyncio.create_task(read(world.cache)))
        await found.wait()
        world.shared.before_get = world.truth.gate = None
        return document

    world.clock.advance(1)
    assert (await world.cache.write("a", commit)).version == 2
    go_on.set()

    assert await readers[0] == (3, "l2" if level == "L2" else "l3")
    assert await read(world.cache) == (3, "l1")


async def test_cache_keeps_nothing_of_a_load_that_is_older_than_what_one_before_it_brought(world):
    """Two loads are under way, and the later one has read less: what the earlier one brings stays (C6)."""
    readers, early, late = [], asyncio.Event(), asyncio.Event()

    async def begin_to_read(version: int, gate: asyncio.Event) -> None:
        world.truth.versions["a"], world.truth.gate = version, gate
        world.truth.asked.clear()
        readers.append(asyncio.create_task(read(world.cache)))
        await world.truth.asked.wait()

    async def commit() -> Document:
        document = await world.truth.commit()
        await begin_to_read(3, early)
        return document

    world.shared.is_down = True
    assert (await world.cache.write("a", commit)).version == 2
    world.clock.advance(L1_TTL_S)
    await begin_to_read(2, late)
    early.set()
    assert await readers[0] == (3, "l3")
    late.set()
    assert await readers[1] == (2, "l3")  # it asked before that
    world.truth.versions["a"], world.truth.gate = 3, None

    assert await read(world.cache) == (3, "l3")


async def test_cache_gives_readers_after_a_write_a_load_of_their_own(world):
    """Whoever asks after the news does not join the load that began before it (C6)."""
    world.truth.gate = asyncio.Event()
    early = asyncio.create_task(read(world.cache))
    await world.truth.asked.wait()
    world.truth.versions["a"] = 2
    world.cache.drop_older("a", 2)
    late = asyncio.create_task(read(world.cache))
    world.truth.gate.set()

    assert (await early)[0] == 1
    assert (await late)[0] == 2


async def test_cache_is_fenced_against_a_flight_that_read_l2_just_before_the_write_reached_it(world):
    """A reader that found the old version in L2 while the write was on its way there looks again, and keeps nothing."""
    await read(world.cache)
    world.cache.drop_all()
    on_the_way, go_on = asyncio.Event(), asyncio.Event()

    async def wait_in_between() -> None:
        on_the_way.set()
        await go_on.wait()

    world.shared.before_get = wait_in_between
    reader = asyncio.create_task(read(world.cache))
    await on_the_way.wait()
    world.shared.before_get = None
    await world.cache.write("a", world.truth.commit)
    go_on.set()

    assert await reader == (2, "l3")
    assert await read(world.cache) == (2, "l1")


async def test_cache_finishes_a_write_whose_client_went_away(world):
    """Once begun a write reaches the caches, or they would hold the old value for their whole time to live."""
    await read(world.cache)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def commit() -> Document:
        begun.set()
        await go_on.wait()
        return await world.truth.commit()

    write = asyncio.create_task(world.cache.write("a", commit))
    await begun.wait()
    write.cancel()
    go_on.set()
    await world.cache.close(within_s=1)

    assert await read(world.cache) == (2, "l1")
    assert world.shared.held["a"][0].version == 2


async def test_cache_leaves_everything_as_it_was_when_a_commit_fails(world):
    """A write that the store refused changes no cache."""
    await read(world.cache)
    world.truth.is_down = True

    with pytest.raises(DependencyFailed):
        await world.cache.write("a", world.truth.commit)

    assert await read(world.cache) == (1, "l1")
    assert world.shared.told == []


async def test_cache_is_warm_after_a_write_when_the_store_goes_down(world):
    """A key written and not yet read is served during an outage of the store: writing through is for this."""
    await world.cache.write("a", world.truth.commit)
    world.truth.is_down = True
    world.clock.advance(TTL_S + 1)

    assert await read(world.cache) == (2, "stale")


async def test_cache_goes_on_without_l2(world):
    """With Redis down reads come from memory and the store, writes succeed, and nothing raises (C9)."""
    world.shared.is_down = True

    assert await read(world.cache) == (1, "l3")
    assert await read(world.cache) == (1, "l1")
    assert (await world.cache.write("a", world.truth.commit)).version == 2
    assert await read(world.cache) == (2, "l1")
    assert world.cache.degraded == 4  # asked for the document, for the lease, and told of the load and of the write


async def test_cache_does_not_believe_l2_on_writes_that_it_has_not_heard_of(world):
    """Redis is back with the old value, and memory was dropped for the gap: this replica loads, and pays what it owes."""
    await read(world.cache)
    world.shared.is_down = True
    await world.cache.write("a", world.truth.commit)
    world.shared.is_down = False

    world.cache.drop_all()
    assert await read(world.cache) == (2, "l3")
    await world.debts.pay()

    assert len(world.debts) == 0
    assert world.shared.held["a"][0].version == 2
    assert world.shared.told == [("a", 2)]


async def test_cache_never_goes_back_to_an_older_version_in_l2(world):
    """What another replica failed to tell Redis is not undone here: an older L2 than our memory is a miss."""
    await read(world.cache)
    world.truth.versions["a"] = 2
    world.shared.held["b"] = world.shared.held.pop("a")
    assert (await read(world.replica()))[0] == 2
    world.clock.advance(1)
    cache = world.replica()
    await read(cache)
    world.shared.held["a"] = world.shared.held["b"]

    world.clock.advance(L1_TTL_S)

    assert await read(cache) == (2, "l3")


async def test_cache_shortens_lifetimes_by_chance_and_never_lengthens_them():
    """Keys loaded together expire spread over the last tenth of their time to live."""
    world = World(CachePolicy(ttl_s=TTL_S, l1_ttl_s=L1_TTL_S, grace_s=GRACE_S, jitter_ratio=0.1))
    for key in range(1000):
        world.truth.versions[str(key)] = 1
        await world.cache.get(str(key))

    expiries = sorted(fresh_until_s for _, fresh_until_s, _ in world.shared.held.values())
    assert 54 <= expiries[0] < 54.5
    assert 59.5 < expiries[-1] <= 60
    assert len({round(expiry) for expiry in expiries}) == 7
