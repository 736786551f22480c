"""A replica's signature: only what is true is signed, and it is signed again and again."""

from __future__ import annotations

import asyncio

import pytest

from fixtures.reference.core.breaker import Unavailable
from fixtures.reference.core.cache import CachePolicy, Debts, Document, Watermark


class Shared:
    """L2, as far as a signature knows it: its time is how often it was asked."""

    def __init__(self) -> None:
        self.time_us = 0
        self.signed: list[tuple[str, int, float | None]] = []
        self.left: list[str] = []
        self.is_down = False
        self.meanwhile = None

    async def look_at_the_time(self) -> int:
        if self.is_down:
            raise Unavailable("redis", "away", retry_after_s=1)
        self.time_us += 1
        if self.meanwhile:
            self.meanwhile()
        return self.time_us

    async def sign(self, replica: str, moment_us: int, *, lived_s: float | None) -> None:
        if self.is_down:
            raise Unavailable("redis", "away", retry_after_s=1)
        self.signed.append((replica, moment_us, lived_s))

    async def leave(self, replica: str) -> None:
        self.left.append(replica)


def made(shared: Shared, sleep=asyncio.sleep, **policy: object) -> tuple[Watermark, Debts]:
    debts = Debts(shared, ttl_s=60)
    return Watermark(shared, debts, CachePolicy(**policy), replica="one", lived_s=lambda: 2.5, sleep=sleep), debts


async def test_watermark_signs_for_the_moment_before_it_looked_at_its_debts():
    """The first signature of a life says how long it has lasted; those after it do not."""
    shared = Shared()
    watermark, _ = made(shared)

    for _ in range(3):
        await watermark.sign()

    assert shared.signed == [("one", 1, 2.5), ("one", 2, None), ("one", 3, None)]
    assert watermark.signed == 3


@pytest.mark.parametrize("when", ["before", "while Redis is asked for its time"])
async def test_watermark_does_not_sign_while_anything_is_owed(when):
    """A write acknowledged before the moment that is signed must be in L2; once it is paid, it is signed again."""
    shared = Shared()
    watermark, debts = made(shared)
    if when == "before":
        debts.owe("a", Document(1, b""))
    else:
        shared.meanwhile = lambda: debts.owe("a", Document(1, b""))

    await watermark.sign()
    assert shared.signed == []

    shared.meanwhile = None
    debts.settle("a", Document(1, b""))
    await watermark.sign()
    assert shared.signed == [("one", 2, 2.5)]


@pytest.mark.parametrize(("l1_ttl_s", "every_s"), [(5.0, 0.5), (1.0, 0.1), (0.01, 0.01)])
async def test_watermark_signs_ten_times_in_the_life_of_an_answer(l1_ttl_s, every_s):
    """Twice a second at most, a hundred times at least; an outage of Redis does not end it."""
    naps, enough = [], asyncio.Event()

    async def nap(seconds: float) -> None:
        naps.append(seconds)
        shared.is_down = len(naps) == 2
        if len(naps) == 4:
            enough.set()
            await asyncio.Event().wait()

    shared = Shared()
    watermark, _ = made(shared, nap, l1_ttl_s=l1_ttl_s)
    signing = asyncio.create_task(watermark.sign_forever())
    await asyncio.wait_for(enough.wait(), 5)
    signing.cancel()
    await asyncio.wait([signing])

    assert naps == [pytest.approx(every_s)] * 4
    assert watermark.signed == 3


async def test_watermark_signs_off_only_without_debts():
    """A replica that leaves in debt is waited for."""
    shared = Shared()
    watermark, debts = made(shared)
    debts.owe("a", Document(1, b""))
    await watermark.leave()
    assert shared.left == []

    debts.settle("a", Document(1, b""))
    await watermark.leave()
    assert shared.left == ["one"]
