"""What a replica owes to L2: the newest of each key, until L2 has it or a newer one."""

from __future__ import annotations

import asyncio

import pytest

from fixtures.reference.core.breaker import Unavailable
from fixtures.reference.core.cache import Debts, Document


class Listener:
    """L2, as far as debts know it: it is told, or says when to come back."""

    def __init__(self, *retries_after_s: float) -> None:
        self.retries_after_s = list(retries_after_s)
        self.told: list[tuple[str, int, float]] = []

    async def supersede(self, key: str, document: Document, *, ttl_s: float) -> None:
        await asyncio.sleep(0)
        if self.retries_after_s:
            raise Unavailable("redis", "away", retry_after_s=self.retries_after_s.pop(0))
        self.told.append((key, document.version, ttl_s))


def version(number: int) -> Document:
    return Document(number, b"")


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
async def test_debts_pay_the_newest_of_a_key(order):
    """Two writes of one key end in any order; L2 is told of the later commit, once."""
    listener = Listener()
    debts = Debts(listener, ttl_s=60)
    for number in order:
        debts.owe("a", version(number))

    await debts.pay()

    assert listener.told == [("a", 2, 60)]


@pytest.mark.parametrize(("told", "owes"), [(1, True), (2, False), (3, False)])
def test_debts_are_settled_by_the_same_version_or_a_newer_one(told, owes):
    """What L2 has learnt of an older write leaves the debt of the newer one."""
    debts = Debts(Listener(), ttl_s=60)
    debts.owe("a", version(2))

    debts.settle("a", version(told))
    debts.settle("never owed", version(1))

    assert debts.owes("a") == owes


def test_debts_forget_what_was_not_written_for_longest():
    """A key that is owed again is as young as its last write."""
    debts = Debts(Listener(), ttl_s=60, max_keys=2)
    for number, key in enumerate(["a", "b", "a", "c"], start=1):
        debts.owe(key, version(number))

    assert {key: debts.owes(key) for key in "abc"} == {"a": True, "b": False, "c": True}
    assert debts.forgotten == 1


async def test_debts_come_back_when_they_are_told_to_but_soon():
    """As long as L2 says, a quarter of a second at most."""
    naps = []

    async def nap(seconds: float) -> None:
        naps.append(seconds)

    debts = Debts(Listener(0.1, 30.0), ttl_s=60, sleep=nap)
    debts.owe("a", version(1))

    await debts.pay()

    assert naps == [0.1, 0.25]


async def test_debts_are_paid_in_the_background_whenever_there_are_any():
    """Also those that come up after the first were paid."""
    listener = Listener()
    debts = Debts(listener, ttl_s=60)
    paying = asyncio.create_task(debts.pay_forever())

    for key in "ab":
        debts.owe(key, version(1))
        async with asyncio.timeout(5):
            while debts.owes(key):  # noqa: ASYNC110 - being settled is not an event of its own
                await asyncio.sleep(0)

    paying.cancel()
    await asyncio.wait([paying])
    assert [key for key, _, _ in listener.told] == ["a", "b"]
    assert len(debts) == 0
