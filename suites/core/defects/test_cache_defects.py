"""Each seeded defect of the cache against the healthy one: the same check, once red and once green."""

from __future__ import annotations

import pytest

from fixtures.defects import installed
from fixtures.reference.clock import MonotonicClock
from fixtures.reference.core.cache import CachePolicy, Document, Slot
from fixtures.reference.parts import Design


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


@pytest.mark.parametrize(("defect", "is_within"), [("", True), ("memory-counts-entries", False)])
def test_memory_stays_within_its_bytes_unless_it_counts_entries(defect, is_within):
    """A hundred documents of eight kilobytes in a hundred kilobytes."""
    memory = installed(defect, Design()).memory(100_000)

    for number in range(100):
        memory.put(str(number), Slot(Document(1, bytes(8000)), 1, 1))

    assert (memory.used_bytes <= 100_000) == is_within
    assert memory.used_bytes > 50_000
