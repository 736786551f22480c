"""How old an answer may be while replicas lose Redis and find it again, each by itself: `l1_ttl_s`, and no longer (C6).

Two whole replicas, as the service builds them, each with a way of its own to one real Redis that can be cut. The truth
is one dictionary, which stands for Postgres: a write is acknowledged when it is there.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from fixtures.reference.core.cache._shared import PREFIX, SIGNATURES
from fixtures.reference.core.store import Item
from fixtures.reference.documents import document_of
from fixtures.reference.parts import Design, build
from fixtures.reference.settings import Settings
from suites.support.dice import dice_of
from suites.support.relay import Relay

L1_TTL_S = 0.3
RESTS_LONG = {"failures": 1, "min_failure_rate": 0.0, "recovery_s": 60.0, "recovery_max_s": 60.0}
RESTS_SHORTLY = {"failures": 1, "min_failure_rate": 0.0, "recovery_s": 0.02, "recovery_max_s": 0.02}


class Replicas:
    """Two replicas over one truth, and the moment of the last acknowledgement of each key."""

    def __init__(self, redis_port: int, stack: AsyncExitStack) -> None:
        self.redis_port, self.stack = redis_port, stack
        self.items: dict[int, Item] = {}
        self.acknowledged: dict[int, list[tuple[float, int]]] = {}
        self.now = asyncio.get_running_loop().time

    async def start(self, name: str, *, breaker: dict[str, object], **cache: object):
        """Start one, with a relay of its own; return both."""
        truth, relay = self.items, Relay(self.redis_port)

        class Truth:
            def __init__(self, _policy: object, *, breaker: object, **_others: object) -> None:
                self.breaker, self.is_prepared = breaker, True

            async def prepare(self, *, seed_items: int) -> None:
                pass

            async def read(self, item: int, **_tenant: str) -> Item | None:
                return truth.get(item)

            async def write(self, item: int, value: str, **_tenant: str) -> Item:
                truth[item] = Item(item, value, truth[item].version + 1 if item in truth else 1)
                return truth[item]

            async def close(self, *, within_s: float) -> None:
                pass

        settings = Settings(
            replica=name,
            redis={"port": relay.port, "timeout_s": 2.0},
            cache={"l1_ttl_s": L1_TTL_S, **cache},
            breaker=breaker,
        )
        await relay.mend()
        self.stack.push_async_callback(relay.cut)
        parts = build(settings, Design(store=Truth))
        parts.start()
        self.stack.push_async_callback(parts.close)
        return parts, relay

    async def write(self, parts, item: int) -> int:
        """Write one more version; return it."""

        async def commit():
            return document_of(await parts.store.write(item, "x"))

        document = await parts.cache.write(str(item), commit)
        self.acknowledged.setdefault(item, []).append((self.now(), document.version))
        return document.version

    async def read(self, parts, item: int) -> int:
        """Read, and hold the answer to the bound: no older than what was acknowledged `l1_ttl_s` before it was asked."""
        began_s = self.now()
        version = (await parts.cache.get(str(item))).document.version
        due = [old for at_s, old in self.acknowledged.get(item, []) if at_s + L1_TTL_S < began_s]
        assert version >= max(due, default=0)
        return version

    async def watched(self, parts, item: int, *, times: float = 3.0) -> list[int]:
        """Read for so many times the bound; return what was read."""
        seen, end_s = [], self.now() + times * L1_TTL_S
        while self.now() < end_s:
            seen.append(await self.read(parts, item))
            await asyncio.sleep(L1_TTL_S / 20)  # the passing of time is what the bound is about
        return seen


async def while_all_sign(replicas: Replicas, *parts):
    """Read through the first for three times the bound without a late signature; return its counts before and after.

    On a busy machine a signature is late now and then, and so is news. What was begun then ends, and begins anew.
    """
    reader, begun = parts[0], None
    signed, signed_s, gaps, seen_s = [0] * len(parts), [0.0] * len(parts), 0, 0.0
    async with asyncio.timeout(100):
        while True:
            await replicas.read(reader, 1)
            await asyncio.sleep(L1_TTL_S / 20)  # the passing of time is what the bound is about
            now_s, newer = replicas.now(), [each.watermark.signed for each in parts]
            signed_s = [now_s if new > old else at for new, old, at in zip(newer, signed, signed_s, strict=True)]
            is_late = now_s - min(*signed_s, seen_s) > L1_TTL_S / 2 or reader.bus.gaps > gaps
            signed, gaps, seen_s = newer, reader.bus.gaps, now_s
            if is_late:
                begun = None
            elif begun is None:
                begun = now_s, reader.cache.statistics()
            elif now_s - begun[0] > 3 * L1_TTL_S:
                return begun[1], reader.cache.statistics()


async def until(condition) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what replicas have signed and paid is not an event of its own
            await asyncio.sleep(0.005)


@pytest.fixture
async def replicas(redis, redis_port):
    """Replicas over a truth of their own, and an emptied Redis."""
    async with AsyncExitStack() as stack:
        yield Replicas(redis_port, stack)


async def test_no_reader_believes_redis_while_a_writer_owes_it(replicas):
    """The writer's breaker rests long after its Redis is back, the reader's never tripped: what it reads there is old."""
    writer, relay = await replicas.start("writer", breaker=RESTS_LONG)
    reader, _ = await replicas.start("reader", breaker=RESTS_SHORTLY)
    await replicas.write(writer, 1)
    await replicas.read(reader, 1)

    await relay.cut()
    written = await replicas.write(writer, 1)
    await relay.mend()

    seen = await replicas.watched(reader, 1)
    assert len(writer.debts) == 1
    assert seen == sorted(seen)
    assert seen[-1] == written


async def test_no_reader_believes_redis_while_a_writer_alone_is_cut_off(replicas):
    """The reader never lost Redis, which goes on holding the old version for a minute: only the silence tells it."""
    writer, relay = await replicas.start("writer", breaker=RESTS_SHORTLY)
    reader, _ = await replicas.start("reader", breaker=RESTS_SHORTLY)
    await replicas.write(writer, 1)
    await replicas.read(reader, 1)

    await relay.cut()
    written = await replicas.write(writer, 1)
    seen = await replicas.watched(reader, 1)
    assert seen == sorted(seen)
    assert seen[-1] == written
    assert reader.cache.statistics().disbelieved > 0

    await relay.mend()
    await until(lambda: not writer.debts)
    assert (await reader.shared.get("1")).document.version == written


async def test_redis_is_believed_for_the_whole_time_to_live_while_all_sign(replicas):
    """Long after `l1_ttl_s` a document is read from L2 and not loaded anew: the bound costs no hits."""
    reader, _ = await replicas.start("reader", breaker=RESTS_SHORTLY, refresh_ratio=1.0)
    other, _ = await replicas.start("other", breaker=RESTS_SHORTLY)
    replicas.items[1] = Item(1, "x", 1)

    before, after = await while_all_sign(replicas, reader, other)

    assert after.loads == before.loads
    assert after.l2 >= before.l2 + 2
    assert after.disbelieved == before.disbelieved


async def test_a_debt_taken_to_the_grave_is_not_believed_away(replicas):
    """The writer dies in debt, and a new one of its name signs at once: what Redis held before is not believed."""
    writer, relay = await replicas.start("writer", breaker=RESTS_LONG)
    reader, _ = await replicas.start("reader", breaker=RESTS_SHORTLY)
    await replicas.write(writer, 1)
    await replicas.read(reader, 1)
    await until(lambda: writer.watermark.signed > 0)

    await relay.cut()
    written = await replicas.write(writer, 1)
    for task in writer._tasks:  # it does nothing any more, and does not sign off
        task.cancel()
    heir, _ = await replicas.start("writer", breaker=RESTS_SHORTLY)
    await until(lambda: heir.watermark.signed > 1)

    seen = await replicas.watched(reader, 1)
    assert seen == sorted(seen)
    assert seen[-1] == written


async def test_answers_stay_in_bounds_while_both_lose_redis_at_random(replicas, redis):
    """Each replica's way is cut and mended by the dice, both write and read: no answer is too old, and all is paid."""
    dice = dice_of(11)
    pairs = [await replicas.start(name, breaker=RESTS_SHORTLY) for name in ("one", "two")]
    for _ in range(120):
        parts, relay = dice.choice(pairs)
        match dice.choice(["cut", "mend", "mend", "write", "write", "read", "read", "read", "wait"]):
            case "cut":
                await relay.cut()
            case "mend":
                await relay.mend()
            case "write":
                await replicas.write(parts, dice.randrange(3))
            case "read":
                await replicas.read(parts, dice.randrange(3))
            case "wait":
                await asyncio.sleep(dice.uniform(0, L1_TTL_S / 2))
    for _, relay in pairs:
        await relay.mend()
    await until(lambda: not any(parts.debts for parts, _ in pairs))

    for parts, _ in pairs:
        for item in replicas.acknowledged:
            assert (await replicas.watched(parts, item, times=1.2))[-1] == replicas.items[item].version
            assert (await redis.get(f"{PREFIX}{item}")).startswith(b"%d " % replicas.items[item].version)


async def test_a_replica_that_stops_pays_first_and_signs_off(replicas, redis):
    """The writes under way are waited for, what they owe is paid, and the others wait for no signature of it."""
    parts, relay = await replicas.start("one", breaker=RESTS_SHORTLY)
    await until(lambda: parts.watermark.signed > 0)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def commit():
        begun.set()
        await go_on.wait()
        return document_of(await parts.store.write(1, "x"))

    write = asyncio.create_task(parts.cache.write("1", commit))
    await begun.wait()
    await relay.cut()
    closing = asyncio.create_task(parts.close())
    await asyncio.sleep(0)
    go_on.set()
    await until(lambda: len(parts.debts) == 1)
    await relay.mend()
    await closing

    assert (await write).version == 1
    assert len(parts.debts) == 0
    assert (await redis.get(PREFIX + "1")).startswith(b"1 ")
    assert await redis.zrange(SIGNATURES, 0, -1) == []
