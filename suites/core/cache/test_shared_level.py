"""L2's scripts against a real Redis: fences, leases, what is believed as of when, and how bodies are kept."""

from __future__ import annotations

import asyncio
import time
import zlib
from math import inf
from random import Random

import pytest

from fixtures.reference.core.breaker import Unavailable
from fixtures.reference.core.cache import ABSENT, Document
from fixtures.reference.core.cache import _shared as module

TTL_S, GRACE_S = 60.0, 30.0
ROWS = b'{"id": 123, "value": "a row of a table, as clients receive it"},' * 200


async def filled(shared, key: str, document: Document, *, ttl_s: float = TTL_S) -> bool:
    """Fill with what was loaded just now."""
    return await shared.fill(key, document, ttl_s=ttl_s, as_of_us=await shared.look_at_the_time())


async def superseded(shared, key: str, document: Document) -> None:
    """Supersede with what was committed just now."""
    await shared.supersede(key, document, ttl_s=TTL_S, as_of_us=await shared.look_at_the_time())


async def version_of(shared, key: str) -> int | None:
    held = await shared.get(key)
    return None if held is None else held.document.version


async def test_shared_level_refuses_an_older_fill_and_tells_of_writes(level, linked):
    """The newest version wins in any order, lifetimes are Redis' own, and a write is published."""
    shared, ear = level(grace_s=GRACE_S), linked().listen()
    await ear.subscribe(module.CHANNEL)
    assert (await ear.get_message(timeout=2))["type"] == "subscribe"

    await superseded(shared, "fence", Document(12, b"new: with colon"))
    assert not await filled(shared, "fence", Document(9, b"old"))
    assert await filled(shared, "fence", Document(12, b"new: with colon"))
    held = await shared.get("fence")
    now_s = shared._clock.now()
    news = await ear.get_message(timeout=2)
    await ear.aclose()

    assert held.document == Document(12, b"new: with colon")
    assert TTL_S - 5 < held.fresh_until_s - now_s <= TTL_S
    assert news["data"] == b"v 12 fence"


async def test_shared_level_replaces_the_time_to_live_at_each_set(level, redis):
    """A fill of the same version is fresh for its own time, shorter or longer than what it replaces (C7)."""
    shared, left_s = level(grace_s=GRACE_S), []
    for ttl_s in (60.0, 20.0, 90.0):
        await filled(shared, "a", Document(1, b"x"), ttl_s=ttl_s)
        left_s.append(await redis.pttl(module.PREFIX + "a") / 1000 - GRACE_S)

    assert [round(seconds / 10) * 10 for seconds in left_s] == [60, 20, 90]


async def test_shared_level_keeps_no_absence_past_its_time(level):
    """Absence is no longer fresh when its time is over; as a fence it may still lie there."""
    shared = level(grace_s=GRACE_S)
    await filled(shared, "absent", ABSENT, ttl_s=5)
    held = await shared.get("absent")

    assert held.document == ABSENT
    assert held.fresh_until_s <= shared._clock.now() + 5
    assert await shared.get("never filled") is None


async def test_shared_level_takes_a_document_for_as_old_as_its_load(level):
    """Without signatures it is known as of the time before its load, and no later."""
    shared = level(replicas=2)
    await shared.raise_floor()
    as_of_us = await shared.look_at_the_time()
    before_s = shared._clock.now()
    await shared.fill("a", Document(1, b"x"), ttl_s=TTL_S, as_of_us=as_of_us)
    for _ in range(3):
        held = await shared.get("a")
        assert before_s - 5 < held.as_of_s <= before_s


async def test_shared_level_takes_a_document_for_as_young_as_the_oldest_signature(level, signed):
    """All replicas have signed since it was loaded: it is known as of the oldest of them; with one missing it is not."""
    shared = level(replicas=2)
    await signed(shared, "one")
    await filled(shared, "a", Document(1, b"x"))
    filled_s = shared._clock.now()

    for _ in range(50):  # the first may come too soon after the fill to say anything
        await signed(shared, "one")
        assert (await shared.get("a")).as_of_s <= filled_s

    async with asyncio.timeout(20):
        as_of_s = -inf
        while as_of_s <= filled_s:  # a moment of this clock, so earlier by what the answers of Redis took
            await signed(shared, "two", "one")
            as_of_s = (await shared.get("a")).as_of_s
    assert as_of_s <= shared._clock.now()


@pytest.mark.parametrize("gone", ["floor raised", "emptied", "another run"])
async def test_shared_level_believes_nothing_of_before_a_loss(level, signed, redis, gone):
    """The floor, Redis without one, or the first signature in another run: what was known before is not believed."""
    shared = level()
    await signed(shared)
    await filled(shared, "a", Document(1, b"x"))
    assert (await shared.get("a")).as_of_s > -inf

    if gone == "floor raised":
        await shared.raise_floor()
    elif gone == "emptied":
        kept = await redis.get(module.PREFIX + "a")
        await redis.flushall()
        await redis.set(module.PREFIX + "a", kept)
        assert (await shared.get("a")).as_of_s == -inf
    else:
        await redis.set(module.RUN, "what it was before it went down")
    await signed(shared)

    held = await shared.get("a")
    assert (held.as_of_s, held.document) == (-inf, Document(1, b"x"))
    await filled(shared, "a", Document(1, b"x"))
    assert (await shared.get("a")).as_of_s > -inf


async def test_shared_level_waits_for_a_silent_replica_and_then_raises_the_floor(level, signed, redis, monkeypatch):
    """One that died in debt cannot say so: it is waited for, and when it is not any more nothing older is believed."""
    shared = level()
    await signed(shared, "dead", "alive")
    await filled(shared, "a", Document(1, b"x"))
    assert await redis.zcard(module.SIGNATURES) == 2
    await signed(shared, "alive")
    assert await redis.zcard(module.SIGNATURES) == 2

    monkeypatch.setattr(module, "FORGET_S", 0.0)
    await signed(shared, "alive")

    assert await redis.zrange(module.SIGNATURES, 0, -1) == [b"alive"]
    assert (await shared.get("a")).as_of_s == -inf


async def test_shared_level_raises_the_floor_when_a_replica_is_back_that_did_not_sign_off(level, signed):
    """What its former life owed died with it; one that signed off owed nothing."""
    shared, believed = level(), []
    await signed(shared, "one", "two")
    for lived_s, leaves in ((0.0, False), (0.0, True), (None, False)):
        await filled(shared, "a", Document(1, b"x"))
        if leaves:
            await shared.leave("one")
        await shared.sign("one", await shared.look_at_the_time(), lived_s=lived_s)
        believed.append((await shared.get("a")).as_of_s > -inf)

    assert believed == [False, True, True]


@pytest.mark.parametrize(
    ("lived_s", "is_believed"), [(0.0, False), (5.0, True), (20.0, False)], ids=["now", "before", "told wrongly"]
)
async def test_shared_level_believes_what_was_loaded_since_the_new_life_began(
    level, signed, redis, lived_s, is_believed
):
    """Ten seconds after the last signature of the old one; one that claims to have begun before it knows nothing."""
    shared = level()
    await signed(shared, "one", "two")
    await redis.zadd(module.SIGNATURES, {"one": await shared.look_at_the_time() - 10_000_000})
    await filled(shared, "a", Document(1, b"x"))

    await shared.sign("one", await shared.look_at_the_time(), lived_s=lived_s)

    assert ((await shared.get("a")).as_of_s > -inf) == is_believed


async def test_shared_level_does_not_lower_the_floor_for_a_new_life(level, signed, redis):
    """It was raised for another reason since that life began."""
    shared = level()
    await signed(shared, "one", "two")
    await redis.zadd(module.SIGNATURES, {"one": await shared.look_at_the_time() - 10_000_000})
    await filled(shared, "a", Document(1, b"x"))
    await shared.raise_floor()

    await shared.sign("one", await shared.look_at_the_time(), lived_s=5.0)

    assert (await shared.get("a")).as_of_s == -inf


async def test_shared_level_takes_no_signature_back(level, signed, redis):
    """A later moment stands, whatever arrives after it; one of the future, from a clock set back, does not."""
    shared = level()
    now_us = await shared.look_at_the_time()
    for moment_us in (now_us, now_us - 1_000_000, now_us + 3_600_000_000):
        await shared.sign("one", moment_us)
    assert await redis.zscore(module.SIGNATURES, "one") == now_us

    await redis.zadd(module.SIGNATURES, {"one": now_us + 3_600_000_000})
    await shared.raise_floor()
    await filled(shared, "a", Document(1, b"x"))
    assert (await shared.get("a")).as_of_s <= shared._clock.now()
    await shared.sign("one", now_us + 1)
    assert await redis.zscore(module.SIGNATURES, "one") == now_us + 1


async def test_shared_level_believes_no_document_of_the_future(level, redis, signed):
    """Redis' clock was set back by an hour: what was known later than now is not believed, nor kept for an hour more."""
    shared = level(ttl_s=TTL_S)
    await signed(shared)
    now_us = await shared.look_at_the_time() + 3_600_000_000
    await redis.set(module.PREFIX + "a", f"1 {now_us} {now_us + 60_000_000} r 1\nx")

    held = await shared.get("a")

    assert held.as_of_s == -inf
    assert held.fresh_until_s <= shared._clock.now() + TTL_S


async def test_shared_level_stores_nothing_that_was_known_before_every_fence(level, linked):
    """A fill that took longer than fences last is refused; a write that late ends what is older, and is not kept."""
    shared = level()
    late_us = await shared.look_at_the_time() - round((module.FENCE_S + 1) * 1e6)

    assert not await shared.fill("filled", Document(1, b"x"), ttl_s=TTL_S, as_of_us=late_us)
    await superseded(shared, "old", Document(1, b"old"))
    await shared.supersede("old", Document(2, b"new"), ttl_s=TTL_S, as_of_us=late_us)
    await superseded(shared, "newer", Document(3, b"newest"))
    await shared.supersede("newer", Document(2, b"new"), ttl_s=TTL_S, as_of_us=late_us)

    assert [await version_of(shared, key) for key in ("filled", "old", "newer")] == [None, None, 3]
    assert not await filled(shared, "old", Document(1, b"old"))
    assert await filled(shared, "old", Document(2, b"new"))


async def test_shared_level_keeps_fences_for_longer_than_anything_may_take(level, redis):
    """However short its time to live, an entry lies there for twice the time after which nothing is stored (C6')."""
    shared = level(ttl_s=0.01, grace_s=0.0)
    await filled(shared, "a", Document(2, b"x"), ttl_s=0.01)
    await shared.invalidate("b")

    for key in "ab":
        assert await redis.pttl(module.PREFIX + key) > (2 * module.FENCE_S - 5) * 1000


async def test_shared_level_refuses_a_fill_that_began_before_an_invalidation(level):
    """The tombstone's moment decides, not a version: the row may have been made anew, from version 1 (C6')."""
    shared = level()
    await filled(shared, "a", Document(7, b"old"))
    before_us = await shared.look_at_the_time()

    await shared.invalidate("a")
    assert await shared.get("a") is None
    assert not await shared.fill("a", Document(7, b"old"), ttl_s=TTL_S, as_of_us=before_us)
    await shared.supersede("a", Document(8, b"old"), ttl_s=TTL_S, as_of_us=before_us)
    assert await shared.get("a") is None

    assert await filled(shared, "a", Document(1, b"new"))
    assert await version_of(shared, "a") == 1


async def test_shared_level_invalidates_all_with_a_tag_at_once(level):
    """Of three documents the two with the tag are gone, whatever is in its name; what is loaded anew is there again."""
    shared, tag = level(), "shop 3:\n%"
    await filled(shared, "one", Document(1, b"x", (tag,)))
    await filled(shared, "two", Document(1, b"x", ("other", tag)))
    await filled(shared, "three", Document(1, b"x", ("other",)))
    before_us = await shared.look_at_the_time()

    await shared.invalidate_tag(tag)
    assert [await version_of(shared, key) for key in ("one", "two", "three")] == [None, None, 1]

    await shared.fill("one", Document(1, b"x", (tag,)), ttl_s=TTL_S, as_of_us=before_us)
    await filled(shared, "two", Document(1, b"x", (tag, "other")))
    assert [await version_of(shared, key) for key in ("one", "two")] == [None, 1]
    assert (await shared.get("two")).document.tags == (tag, "other")


async def test_shared_level_tells_of_invalidations(level, linked):
    """A key and a tag, each with the name that it was given and with its own; and everything."""
    link = linked()
    shared, ear = level(link=link), link.listen()
    await ear.subscribe(module.CHANNEL)
    await ear.get_message(timeout=2)

    await shared.invalidate("a key")
    await shared.invalidate_tag("a tag")
    await shared.raise_floor()
    said = [(await ear.get_message(timeout=2))["data"] for _ in range(3)]
    await ear.aclose()

    assert said == [f"x {link.name} a key".encode(), f"t {link.name} a tag".encode(), b"a"]


async def test_shared_level_reads_in_one_script_what_is_asked_in_one_tick(level, monkeypatch):
    """A hundred gets of one tick, some of one key, are one script; more than a batch are two."""
    shared = level()
    for key in range(5):
        await filled(shared, str(key), Document(key + 1, b"x"))
    before = shared.batches

    held = await asyncio.gather(*(shared.get(str(key % 10)) for key in range(100)))
    assert shared.batches == before + 1
    assert [None if each is None else each.document.version for each in held[:10]] == [1, 2, 3, 4, 5] + [None] * 5

    monkeypatch.setattr(module, "BATCH", 4)
    held = await asyncio.gather(*(shared.get(str(key)) for key in range(5)))
    assert shared.batches == before + 3
    assert [each.document.version for each in held] == [1, 2, 3, 4, 5]


async def test_shared_level_hurts_no_other_get_of_a_tick_when_one_goes_away(level):
    """Of three gets in one script the first is cancelled: the others have their answers (C4)."""
    shared = level()
    await filled(shared, "a", Document(1, b"x"))
    gets = [asyncio.create_task(shared.get("a")) for _ in range(3)]
    await asyncio.sleep(0)

    gets[0].cancel()
    results = await asyncio.gather(*gets, return_exceptions=True)

    assert isinstance(results[0], asyncio.CancelledError)
    assert [held.document.version for held in results[1:]] == [1, 1]


async def test_shared_level_tells_all_gets_of_a_tick_that_redis_cannot_say(level, dead_port):
    """One refused connection is an error for each of them, and none waits for ever."""
    shared = level(port=dead_port)

    results = await asyncio.gather(*(shared.get(key) for key in "abc"), return_exceptions=True)

    assert all(isinstance(each, Unavailable) for each in results)
    assert shared._link.breaker.recent() == (1, 1)


async def test_shared_level_gives_a_lease_to_one_at_a_time(level):
    """The holder keeps it when it asks again; others learn how long it lasts, and only the holder gives it back."""
    shared = level(lease_s=10.0)
    began_s = time.monotonic()

    assert await shared.lease("a", "one", looked_us=shared.moment_us) == 0
    assert await shared.lease("a", "one", looked_us=shared.moment_us) == 0
    left_s = await shared.lease("a", "two", looked_us=shared.moment_us)
    assert 10.0 - (time.monotonic() - began_s) - 0.01 <= left_s <= 10.0
    await shared.release("a", "two")
    assert await shared.lease("a", "two", looked_us=shared.moment_us) > 0
    await shared.release("a", "one")
    assert await shared.lease("a", "two", looked_us=shared.moment_us) == 0


async def test_shared_level_gives_the_lease_back_with_the_fill(level, redis):
    """Even if what was loaded is refused; a lease of another one stays."""
    shared = level()
    await superseded(shared, "a", Document(2, b"new"))
    await shared.lease("a", "one", looked_us=shared.moment_us)
    as_of_us = await shared.look_at_the_time()

    await shared.fill("a", Document(1, b"old"), ttl_s=TTL_S, as_of_us=as_of_us, lease="another")
    assert await shared.lease("a", "two", looked_us=shared.moment_us) > 0
    await shared.fill("a", Document(1, b"old"), ttl_s=TTL_S, as_of_us=as_of_us, lease="one")
    assert await shared.lease("a", "two", looked_us=shared.moment_us) == 0


async def test_shared_level_lets_a_lease_lapse(level):
    """A holder that died is waited for no longer than the lease."""
    shared = level(lease_s=0.05)
    await shared.lease("a", "dead", looked_us=shared.moment_us)

    async with asyncio.timeout(5):
        while await shared.lease("a", "alive", looked_us=shared.moment_us) > 0:  # noqa: ASYNC110 - Redis tells nobody that a key has expired
            await asyncio.sleep(0.005)


async def test_shared_level_lends_nothing_to_one_who_looked_before_it_was_stored(level):
    """It would load what is there by now; once it has looked again it may, as what is there may be of no use to it (C3)."""
    shared = level(lease_s=10.0)
    looked_us = await shared.look_at_the_time()
    assert await shared.lease("a", "one", looked_us=looked_us) == 0
    await shared.fill("a", Document(1, b"x"), ttl_s=TTL_S, as_of_us=looked_us, lease="one")

    assert await shared.lease("a", "two", looked_us=looked_us) == 0.001
    assert await shared.lease("a", "two", looked_us=shared.moment_us) == 0
    assert await shared.lease("a", "three", looked_us=shared.moment_us) > 1


BODIES = {
    "empty": b"",
    "a byte short of deflating": ROWS[:4095],
    "deflated": ROWS[:4096],
    "long": ROWS * 10,
    "in a thread": ROWS * 100,
    "noise": Random(1).randbytes(16_384),
    "looks like a head": b"1 2 3 r 5 tag\n" * 400,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_shared_level_gives_back_what_it_was_given(level, redis, body):
    """Whatever was deflated on the way (C8)."""
    shared = level()
    await superseded(shared, "a", Document(3, body))

    assert (await shared.get("a")).document == Document(3, body)
    assert shared.unreadable == 0


async def test_shared_level_deflates_what_is_long_and_shrinks(level, redis):
    """From 4096 bytes on, only if it saves a tenth."""
    shared, sizes = level(), {}
    for name in ("a byte short of deflating", "deflated", "noise"):
        await superseded(shared, name, Document(3, BODIES[name]))
        sizes[name] = await redis.strlen(module.PREFIX + name)

    assert sizes["a byte short of deflating"] > 4095
    assert sizes["deflated"] < 1024
    assert (await redis.get(module.PREFIX + "noise")).endswith(BODIES["noise"])


DEFLATED = zlib.compress(ROWS, 1)
BROKEN = {
    "no head": b"hello",
    "half a head": b"1 2 3",
    "no version": b"x 2 3 r 1\nx",
    "unknown encoding": b"1 2 3 q 1\nx",
    "cut short": b"1 2 3 r 5\nxxxx",
    "too long": b"1 2 3 r 5\nxxxxxx",
    "not deflated": b"1 2 3 z 12800\n" + ROWS,
    "deflated and cut short": b"1 2 3 z 12800\n" + DEFLATED[:-4],
    "inflates to more than it claims": b"1 2 3 z 100\n" + DEFLATED,
    "claims more than is read": b"1 2 3 z 1000001\n" + zlib.compress(b"x" * 1_000_001),
    "not text": b"\xff\xfe 1 2\nx",
}


@pytest.mark.parametrize("stored", BROKEN.values(), ids=BROKEN)
async def test_shared_level_takes_what_is_not_whole_for_a_miss(level, redis, stored):
    """And counts it; what is loaded then takes its place (C8)."""
    shared = level(max_body_bytes=1_000_000)
    await redis.set(module.PREFIX + "a", stored)

    assert await shared.get("a") is None
    assert shared.unreadable == 1
    assert await filled(shared, "a", Document(1, b"x"))
    assert await version_of(shared, "a") == 1
