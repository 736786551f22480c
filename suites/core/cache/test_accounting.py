"""What a cache counts, and how it ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from suites.support.core.cacheworld import EXACT, World, settled
from suites.support.dice import dice_of

if TYPE_CHECKING:
    from fixtures.reference.core.cache import Document


async def test_cache_counts_add_up_whatever_happens():
    """Reads are the sum of what became of them, and loads no more than misses and refreshes, at every step (C2)."""
    world, dice = World(replace(EXACT, refresh_ratio=0.8)), dice_of(3)
    world.truth.versions |= dict.fromkeys("bcde", 1)
    asked = 0
    for _ in range(600):
        world.truth.is_down, world.shared.is_down = dice.random() < 0.2, dice.random() < 0.2
        world.clock.advance(dice.choice([0, 0.1, 1, 3, 40]))
        readers = [asyncio.create_task(world.cache.get(dice.choice("abcdef"))) for _ in range(dice.randrange(4))]
        await asyncio.sleep(0)
        asked += len(readers)
        if readers and dice.random() < 0.2:
            readers[0].cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        counts = world.cache.statistics()
        assert counts.reads == asked
        assert counts.loads <= counts.l3 + counts.stale + counts.failed + counts.left + counts.refreshes
        assert counts.loads == world.truth.loads

    await settled(world.cache)
    counts = world.cache.statistics()
    assert min(counts.l1, counts.l2, counts.l3, counts.stale, counts.failed, counts.left, counts.refreshes) > 0
    assert counts.hit_ratio == (counts.l1 + counts.l2) / (counts.l1 + counts.l2 + counts.l3 + counts.stale)
    assert (counts.held, counts.used_bytes) == (len(world.memory), world.memory.used_bytes)
    assert counts.owed == len(world.debts) == 0


async def test_cache_has_no_hit_ratio_before_its_first_read(world):
    """Nothing of nothing is not a share."""
    assert world.cache.statistics().hit_ratio == 0


async def test_cache_waits_for_writes_under_way_when_it_is_closed(world):
    """A write that ends within the time is whole; one that takes longer is cancelled, and its caller is told."""
    gates, begun = [asyncio.Event(), asyncio.Event()], asyncio.Semaphore(0)

    def committing(gate: asyncio.Event):
        async def commit() -> Document:
            begun.release()
            await gate.wait()
            return await world.truth.commit()

        return commit

    writes = [
        asyncio.create_task(world.cache.write(key, committing(gate))) for key, gate in zip("ab", gates, strict=True)
    ]
    for _ in writes:
        await begun.acquire()
    closing = asyncio.create_task(world.cache.close(within_s=0.2))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not closing.done()
    assert not writes[0].done()
    gates[0].set()
    assert (await writes[0]).version == 2
    await closing

    with pytest.raises(asyncio.CancelledError):
        await writes[1]
    assert world.shared.told == [("a", 2)]
    assert world.cache._tasks == set()
