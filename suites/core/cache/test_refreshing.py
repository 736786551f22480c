"""Loads that no reader waits for, and loads that replicas leave to one of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fixtures.reference.core.breaker import DependencyFailed
from suites.support.core.cacheworld import EXACT, L1_TTL_S, TTL_S, World, read, settled

if TYPE_CHECKING:
    from fixtures.reference.core.cache import Document

REFRESHING = replace(EXACT, refresh_ratio=0.8)


async def test_cache_refreshes_from_l2_what_is_served_from_memory():
    """From four fifths of its life on a read is answered from L1 at once, and one look at L2 makes it young again."""
    world = World(REFRESHING)
    await read(world.cache)
    world.clock.advance(0.8 * L1_TTL_S - 0.001)
    await read(world.cache)
    await settled(world.cache)
    assert world.cache.statistics().refreshes == 0

    world.clock.advance(0.002)
    before = world.shared.gets
    assert [await read(world.cache) for _ in range(5)] == [(1, "l1")] * 5
    await settled(world.cache)
    assert world.shared.gets == before + 1
    assert world.cache.statistics().refreshes == 1

    world.clock.advance(0.8 * L1_TTL_S - 0.001)
    assert await read(world.cache) == (1, "l1")
    await settled(world.cache)
    assert world.cache.statistics().refreshes == 1
    assert world.truth.loads == 1


async def test_cache_loads_anew_what_l2_will_soon_let_go_of():
    """In the last fifth of its time to live a document is served from L2, and one load in the background renews it."""
    world = World(REFRESHING)
    await read(world.cache)
    world.clock.advance(0.8 * TTL_S + 0.001)
    world.truth.versions["a"] = 2

    assert await read(world.cache) == (1, "l2")
    await settled(world.cache)
    assert world.truth.loads == 2
    assert world.cache.statistics().refreshes == 1
    assert await read(world.cache) == (2, "l1")
    assert world.shared.held["a"][1] == world.clock.now() + TTL_S


async def test_cache_leaves_a_refresh_to_the_replica_that_is_at_it():
    """Two replicas find a document old at once: one loads, the other goes on with what it has."""
    world = World(REFRESHING)
    await read(world.cache)
    other = world.replica()
    world.clock.advance(0.8 * TTL_S + 0.001)
    world.truth.gate = asyncio.Event()
    world.truth.asked.clear()

    assert await read(world.cache) == (1, "l2")
    await world.truth.asked.wait()
    assert await read(other) == (1, "l2")
    await settled(other)
    world.truth.gate.set()
    await settled(world.cache)

    assert world.truth.loads == 2
    assert other.statistics().loads == 0


async def test_cache_tries_a_failed_refresh_again_after_a_second():
    """It is counted, hurts no reader, and a store that is down is not asked with each read."""
    world = World(replace(REFRESHING, refresh_ratio=0.5))
    world.shared.is_down = True
    await read(world.cache)
    world.truth.is_down = True
    world.clock.advance(0.5 * L1_TTL_S)

    counted = []
    for advance_s in (0.0, 0.5, 0.499, 0.001):
        world.clock.advance(advance_s)
        assert await read(world.cache) == (1, "l1")
        await settled(world.cache)
        counts = world.cache.statistics()
        counted.append((counts.refreshes, counts.refreshes_failed))

    assert counted == [(1, 1), (1, 1), (1, 1), (2, 2)]


async def test_cache_does_not_refresh_where_it_is_told_not_to(world):
    """A ratio of 1 is never: what is written all day is soon replaced."""
    await read(world.cache)

    world.clock.advance(L1_TTL_S - 0.001)
    await read(world.cache)
    world.clock.advance(TTL_S - L1_TTL_S)
    await read(world.cache)
    await settled(world.cache)

    assert world.cache.statistics().refreshes == 0
    assert world.truth.loads == 1


def napping(world: World):
    """Return a sleep that lets the clock of the world run, and what it slept."""
    naps = []

    async def nap(seconds: float) -> None:
        naps.append(seconds)
        await asyncio.sleep(0)
        world.clock.advance(seconds)

    return nap, naps


async def test_cache_loads_once_for_cold_readers_of_several_replicas(world):
    """Four replicas of twenty-five readers each cause one load; the others find in L2 what the first brought (C3)."""
    nap, naps = napping(world)
    replicas = [world.replica(nap) for _ in range(4)]
    world.truth.gate = asyncio.Event()
    readers = [asyncio.create_task(read(replica)) for replica in replicas for _ in range(25)]
    await world.truth.asked.wait()
    while len(naps) < 9:  # noqa: ASYNC110 - that all of them wait is not an event of its own
        await asyncio.sleep(0)
    world.truth.gate.set()

    assert {version for version, _ in await asyncio.gather(*readers)} == {1}
    assert world.truth.loads == 1
    assert all(0 < seconds <= 0.05 for seconds in naps)
    assert len(set(naps)) > 1
    assert world.shared.leases == {}


async def test_cache_takes_over_when_the_replica_that_loads_has_died(world):
    """Its lease is waited for and no longer: one load more, and no error (C3)."""
    nap, naps = napping(world)
    await world.shared.lease("a", "the dead one's")

    assert await read(world.replica(nap)) == (1, "l3")
    assert EXACT.lease_s - 1e-9 <= sum(naps) <= EXACT.lease_s + 0.05


async def test_cache_does_not_load_what_another_replica_stored_before_it_could_borrow_the_lease(world):
    """It looked in vain, was slow to ask for the lease, and finds it free again: it looks once more (C3)."""

    async def meanwhile() -> None:
        world.shared.before_get = None
        world.clock.advance(0.001)
        assert await read(world.replica()) == (1, "l3")

    world.shared.before_get = meanwhile

    assert await read(world.replica()) == (1, "l2")
    assert world.truth.loads == 1


async def test_cache_waits_no_longer_than_a_lease_when_others_are_always_quicker(world):
    """Another replica takes the lease again and again, and brings nothing: this one loads after one lease's time."""
    nap, naps = napping(world)

    async def busy(_key: str, _token: str, *, looked_us: int) -> float:
        return EXACT.lease_s

    world.shared.lease = busy

    assert await read(world.replica(nap)) == (1, "l3")
    assert EXACT.lease_s - 1e-9 <= sum(naps) <= EXACT.lease_s + 0.05


@pytest.mark.parametrize("trouble", [DependencyFailed("postgres", ConnectionError()), ValueError("a bug")], ids=repr)
async def test_cache_gives_the_lease_back_when_its_load_fails(world, trouble):
    """The next replica must not wait for what will not come."""

    async def fail(_key: str) -> Document:
        raise trouble

    cache = world.replica()
    cache._load = fail
    with pytest.raises(type(trouble)):
        await cache.get("a")

    assert world.shared.leases == {}
    assert cache.statistics().failed == 1
    assert await read(world.replica()) == (1, "l3")


async def test_cache_gives_the_lease_back_when_its_load_was_overtaken(world):
    """What it brings is kept nowhere, so its lease must not keep others from loading."""
    world.truth.gate = asyncio.Event()
    slow = asyncio.create_task(read(world.cache))
    await world.truth.asked.wait()
    world.cache.drop_older("a", 2)
    world.truth.gate.set()
    await slow

    assert (world.shared.leases, world.shared.held) == ({}, {})


async def test_cache_does_not_let_a_landing_flight_take_the_place_of_another(world):
    """The first is overtaken by news, a second is under way: when the first lands, a third reader joins the second."""
    world.truth.gate = first = asyncio.Event()
    early = asyncio.create_task(read(world.cache))
    await world.truth.asked.wait()
    world.truth.versions["a"] = 2
    world.cache.drop_older("a", 2)
    world.truth.gate = second = asyncio.Event()
    world.truth.asked.clear()
    world.shared.leases.clear()
    late = asyncio.create_task(read(world.cache))
    await world.truth.asked.wait()
    first.set()
    assert (await early)[0] == 1
    await asyncio.sleep(0)
    last = asyncio.create_task(read(world.cache))
    await asyncio.sleep(0)
    second.set()

    assert (await late, await last) == ((2, "l3"), (2, "l3"))
    assert world.truth.loads == 2


async def test_cache_gives_a_reader_who_comes_late_a_flight_of_its_own(world):
    """A load that hangs for `l1_ttl_s` may bring what a write has replaced long ago; only earlier readers get it (C6)."""
    world.truth.gate = asyncio.Event()
    early = asyncio.create_task(read(world.cache))
    await world.truth.asked.wait()
    world.clock.advance(L1_TTL_S)
    world.truth.versions["a"] = 2
    late = asyncio.create_task(read(world.cache))
    for _ in range(20):  # as many turns of the loop as a flight needs to ask the store, and more
        await asyncio.sleep(0)
    world.truth.gate.set()

    assert (await early, await late) == ((1, "l3"), (2, "l3"))
    assert (await read(world.cache))[0] == 2
