"""What may not be served any more: by a write elsewhere, an invalidation, a tag, a gap in the news, or by age."""

from __future__ import annotations

import asyncio
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.reference.core.cache import Document
from fixtures.reference.core.cache import _cache as module
from suites.support.core.cacheworld import L1_TTL_S, World, read


async def test_cache_counts_the_life_of_an_answer_from_the_beginning_of_its_load(world):
    """A load that took two seconds brings what may be two seconds old: it is served for three more (C6)."""

    async def slowly(key: str) -> Document:
        document = await world.truth.load(key)
        world.clock.advance(2)
        return document

    world.shared.is_down = True
    world.cache._load = slowly
    await read(world.cache)

    world.clock.advance(L1_TTL_S - 2 - 0.001)
    assert await read(world.cache) == (1, "l1")
    world.clock.advance(0.001)
    assert await read(world.cache) == (1, "l3")


async def test_cache_counts_the_life_of_a_write_from_its_beginning(world):
    """A newer version may have been committed while ours was on its way here (C6)."""

    async def slowly() -> Document:
        document = await world.truth.commit()
        world.clock.advance(2)
        return document

    await world.cache.write("a", slowly)

    world.clock.advance(L1_TTL_S - 2 - 0.001)
    assert await read(world.cache) == (2, "l1")
    world.clock.advance(0.001)
    assert await read(world.cache) == (2, "l2")


async def test_cache_tells_l2_as_of_when_it_knows(world):
    """Redis' time of before the load or the commit began, not of when it was told."""
    told = []

    async def note(_key: str, _document: Document, *, as_of_us: int, **_: object) -> bool:
        told.append(as_of_us)
        return True

    async def slowly(*_: str) -> Document:
        world.clock.advance(2)
        return world.truth.document("a")

    world.shared.fill = world.shared.supersede = note
    world.cache._load = slowly
    await read(world.cache)
    await world.cache.write("a", slowly)

    assert told == [0, 2_000_000]


async def test_cache_believes_l2_no_longer_than_its_bound_while_a_signature_is_missing(world):
    """A document known as of its load is read from L2 for `l1_ttl_s`, then loaded anew, which helps all (C6)."""
    world.shared.is_complete = False
    await read(world.cache)
    other = world.replica()

    world.clock.advance(L1_TTL_S - 1)
    assert await read(other) == (1, "l2")
    world.clock.advance(0.999)
    assert await read(other) == (1, "l1")
    world.truth.versions["a"] = 2
    world.clock.advance(0.001)
    assert await read(other) == (2, "l3")
    assert other.statistics().disbelieved == 1
    assert await read(world.cache) == (2, "l2")


async def test_cache_serves_what_it_does_not_believe_in_place_of_an_error(world):
    """L2 may be outdated and Postgres is down: it is served as stale, within its grace."""
    world.shared.is_complete = False
    await read(world.cache)
    other = world.replica()
    world.clock.advance(L1_TTL_S)
    world.truth.is_down = True

    assert await read(other) == (1, "stale")


@pytest.mark.parametrize("is_down", [False, True], ids=["L2 up", "L2 down"])
async def test_cache_serves_nothing_of_before_an_invalidation(world, is_down):
    """Here at once and elsewhere with the news; L2 that could not be told is not believed, and told later (C6)."""
    cache, debts = world.cache, world.debts
    other = world.replica()
    await read(other)
    await read(cache)
    world.truth.versions["a"] = 2
    world.shared.is_down = is_down

    await cache.invalidate("a")
    assert await read(cache) == (2, "l3")
    world.shared.is_down = False
    cache.drop_all()
    assert (await read(cache))[0] == 2
    assert len(debts) == is_down
    await debts.pay()
    other.drop_older("a", inf)

    assert await read(other) == ((2, "l3") if is_down else (2, "l2"))
    assert world.shared.told == [("a", inf)]


@pytest.mark.parametrize("what", ["key", "tag"])
async def test_cache_keeps_nothing_of_a_load_that_an_invalidation_overtook(world, what):
    """It answers its reader, is kept nowhere, and no later reader joins it (C6')."""
    world.truth.tags = ("shop",)
    world.truth.gate = asyncio.Event()
    slow = asyncio.create_task(read(world.cache))
    await world.truth.asked.wait()
    world.clock.advance(0.1)
    world.truth.versions["a"] = 2
    await (world.cache.invalidate("a") if what == "key" else world.cache.invalidate_tag("shop"))
    world.clock.advance(0.1)
    world.shared.leases.clear()
    late = asyncio.create_task(read(world.cache))
    while world.truth.loads < 2:  # noqa: ASYNC110 - the second is asked like the first
        await asyncio.sleep(0)
    world.truth.gate.set()

    assert await slow == (1, "l3")
    assert await late == (2, "l3")
    assert await read(world.cache) == (2, "l1")


@pytest.mark.parametrize("what", ["key", "tag", "gap"])
async def test_cache_takes_no_version_of_before_an_invalidation_for_a_newer_one(world, what):
    """The row is made anew, and its versions begin anew: what an old load brings takes the place of nothing (C6')."""
    world.truth.versions["a"], world.truth.tags, world.truth.gate = 7, ("shop",), asyncio.Event()
    old = asyncio.create_task(read(world.cache))
    await world.truth.asked.wait()
    world.clock.advance(0.1)
    world.truth.versions["a"] = 1
    match what:
        case "key":
            await world.cache.invalidate("a")
        case "tag":
            await world.cache.invalidate_tag("shop")
        case "gap":
            world.cache.drop_all()
    gate, world.truth.gate = world.truth.gate, None
    world.clock.advance(0.1)
    world.shared.leases.clear()
    assert await read(world.cache) == (1, "l3")
    gate.set()

    assert await old == (7, "l3")
    assert await read(world.cache) == (1, "l1")


async def test_cache_does_not_keep_what_a_reader_found_in_l2_before_it_was_invalidated(world):
    """The reader's answer is on its way while L2 is told: it is not kept (C6')."""
    await read(world.cache)
    world.cache.drop_all()
    on_the_way, go_on = asyncio.Event(), asyncio.Event()

    async def wait_in_between() -> None:
        on_the_way.set()
        await go_on.wait()

    async def told(_key: str) -> None:
        readers.append(asyncio.create_task(read(world.cache)))
        await on_the_way.wait()
        world.shared.before_get = None
        world.shared.held.pop("a")
        go_on.set()
        await asyncio.wait(readers)

    readers = []
    world.truth.versions["a"] = 2
    world.shared.before_get, world.shared.invalidate = wait_in_between, told
    await world.cache.invalidate("a")

    assert await readers[0] == (1, "l2")
    assert (await read(world.cache))[0] == 2


@pytest.mark.parametrize("is_down", [False, True], ids=["L2 up", "L2 down"])
async def test_cache_serves_nothing_with_a_tag_of_before_its_invalidation(world, is_down):
    """Two of three documents have it: they are loaded anew, here at once and elsewhere with the news."""
    world.truth.versions |= {"b": 1, "c": 1}
    cache, debts = world.cache, world.debts
    other = world.replica()
    for key, tags in (("a", ("shop",)), ("b", ("x", "shop")), ("c", ("x",))):
        world.truth.tags = tags
        await read(cache, key)
        await read(other, key)
    world.clock.advance(0.1)
    world.truth.versions = dict.fromkeys("abc", 2)
    world.truth.tags = ("shop",)
    world.shared.is_down = is_down

    await cache.invalidate_tag("shop")
    world.clock.advance(0.1)
    assert [await read(cache, key) for key in "abc"] == [(2, "l3"), (2, "l3"), (1, "l1")]
    world.shared.is_down = False
    cache.drop_all()
    assert [(await read(cache, key))[0] for key in "ab"] == [2, 2]
    assert len(debts) == is_down
    await debts.pay()
    world.clock.advance(0.1)
    other.drop_tag("shop")
    world.clock.advance(0.1)
    assert [(await read(other, key))[0] for key in "abc"] == [2, 2, 1]


async def test_cache_does_not_believe_l2_on_a_tag_that_it_could_not_invalidate(world):
    """Memory is distrusted for a gap, and L2 still holds the old documents: they are loaded."""
    world.truth.tags = ("shop",)
    await read(world.cache)
    world.shared.is_down = True
    await world.cache.invalidate_tag("shop")
    world.shared.is_down = False
    world.cache.drop_all()
    world.memory.clear()

    assert await read(world.cache) == (1, "l3")


async def test_cache_bounds_what_it_remembers_of_tags(world, monkeypatch):
    """Beyond the bound all of memory is distrusted instead of one more tag being remembered."""
    monkeypatch.setattr(module, "TAGS_MAX", 3)
    await read(world.cache)
    for number in range(3):
        world.cache.drop_tag(str(number))
    assert await read(world.cache) == (1, "l1")

    world.cache.drop_tag("one more")

    assert await read(world.cache) == (1, "l2")
    assert len(world.cache._tags_dropped) == 1


async def test_cache_stands_in_for_an_error_with_what_it_held_before_a_gap(world):
    """News may have been missed, so it is not believed; with both dependencies down it is all there is."""
    await read(world.cache)
    world.cache.drop_all()
    world.truth.is_down = world.shared.is_down = True

    assert await read(world.cache) == (1, "stale")


async def test_cache_goes_back_to_no_older_version_after_a_gap(world):
    """L2 holds what it held before our replica had read a newer version; being distrusted, it is still known (C6)."""
    await read(world.cache)
    old = world.shared.held["a"]
    await world.cache.write("a", world.truth.commit)
    world.shared.held["a"] = old

    world.cache.drop_all()

    assert await read(world.cache) == (2, "l3")


STEPS = st.tuples(
    st.sampled_from(["read", "read", "write", "news", "gap", "down", "up", "pay", "wait"]), st.integers(0, 5)
)


@given(st.lists(STEPS, max_size=80))
def test_cache_answers_are_never_too_old_in_any_order(steps):
    """Two replicas, an L2 that comes and goes, news that may come or not: C6 holds after each step, for both bounds."""

    async def play() -> None:
        world = World()
        replicas = [(world.cache, world.debts)]
        replicas.append((world.replica(), world.debts))
        acknowledged, own = [(0.0, 1)], [1, 1]
        for action, number in steps:
            here = number % 2
            cache, debts = replicas[here]
            match action:
                case "read":
                    due = [version for at_s, version in acknowledged if at_s + L1_TTL_S <= world.clock.now()]
                    assert (await read(cache))[0] >= max([*due, own[here]])
                case "write":
                    own[here] = (await cache.write("a", world.truth.commit)).version
                    acknowledged.append((world.clock.now(), own[here]))
                case "news" if world.shared.told:
                    cache.drop_older(*world.shared.told[-1])
                case "gap":
                    cache.drop_all()
                case "down" | "up":
                    world.shared.is_down = action == "down"
                case "pay" if not world.shared.is_down:
                    await debts.pay()
                case "wait":
                    world.clock.advance([0.1, 1.0, 2.0, 4.0, 4.999, 5.0][number])
            # A replica that owes does not sign, so from its debt on L2 is known as of each document's load only.
            world.shared.is_complete = not any(len(each) for _, each in replicas)

    asyncio.run(play())
