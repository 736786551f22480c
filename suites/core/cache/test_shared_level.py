"""L2's scripts against a real Redis."""

from __future__ import annotations

from fixtures.reference.core.cache import ABSENT, Document, SharedLevel
from fixtures.reference.core.redis_link import Script

TTL_S, GRACE_S = 60.0, 30.0


async def test_shared_level_refuses_an_older_fill_and_tells_of_writes(linked):
    """The real scripts: newest version wins in any order, lifetimes are Redis' own, and a write is published."""
    link = linked()
    shared = SharedLevel(link, grace_s=GRACE_S)
    ear = link.listen()
    await ear.subscribe("cache:superseded")
    assert (await ear.get_message(timeout=2))["type"] == "subscribe"

    await shared.supersede("fence", Document(12, b"new: with colon"), ttl_s=TTL_S)
    await shared.fill("fence", Document(9, b"old"), ttl_s=TTL_S)
    held = await shared.get("fence")
    news = await ear.get_message(timeout=2)
    await ear.aclose()

    assert held.document == Document(12, b"new: with colon")
    assert TTL_S - 5 < held.remaining_s <= TTL_S
    assert news["data"] == b"12 fence"


async def test_shared_level_keeps_absence_without_grace(linked):
    """Absence is gone when its time is over; an item is kept for the grace after it."""
    link = linked()
    shared = SharedLevel(link, grace_s=GRACE_S)
    await shared.fill("absent", ABSENT, ttl_s=5)
    await shared.fill("item", Document(1, b"x"), ttl_s=0.001)

    left_ms = Script("return redis.call('PTTL', KEYS[1])")
    absent_ms, item_ms = [await link.run(left_ms, [f"cache:v1:{key}"], []) for key in ("absent", "item")]
    item = await shared.get("item")

    assert 0 < absent_ms <= 5000
    assert (GRACE_S - 5) * 1000 < item_ms <= GRACE_S * 1000 + 1
    assert item.document.version == 1
    assert -5 < item.remaining_s <= 0.001 + 1e-9  # a difference of two floats
    assert await shared.get("never filled") is None
