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
        self.told: list[tuple[object, ...]] = []
        self.meanwhile = None

    async def supersede(self, key: str, document: Document, *, ttl_s: float, as_of_us: int) -> None:
        await self.hear(key, document.version, ttl_s, as_of_us)

    async def invalidate(self, key: str) -> None:
        await self.hear("invalidated", key)

    async def invalidate_tag(self, tag: str) -> None:
        await self.hear("tag", tag)

    async def raise_floor(self) -> None:
        await self.hear("everything")

    async def hear(self, *what: object) -> None:
        await asyncio.sleep(0)
        if self.retries_after_s:
            raise Unavailable("redis", "away", retry_after_s=self.retries_after_s.pop(0))
        self.told.append(what)
        if self.meanwhile:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()


def version(number: int) -> Document:
    return Document(number, b"")


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
async def test_debts_pay_the_newest_of_a_key(order):
    """Two writes of one key end in any order; L2 is told of the later commit, once, and as of when it was known."""
    listener = Listener()
    debts = Debts(listener, ttl_s=60)
    for number in order:
        debts.owe("a", version(number), as_of_us=100 * number)

    await debts.pay()

    assert listener.told == [("a", 2, 60, 200)]
    assert (len(debts), debts.paid) == (0, 1)


@pytest.mark.parametrize(("told", "owes"), [(1, True), (2, False), (3, False)])
def test_debts_are_settled_by_the_same_version_or_a_newer_one(told, owes):
    """What L2 has learnt of an older write leaves the debt of the newer one."""
    debts = Debts(Listener(), ttl_s=60)
    debts.owe("a", version(2))

    debts.settle("a", version(told))
    debts.settle("never owed", version(1))

    assert debts.owes("a") == owes


@pytest.mark.parametrize("newer", [2, None], ids=["a write", "an invalidation"])
async def test_debts_of_a_newer_write_are_not_settled_when_the_older_one_is_paid(newer):
    """A key is written again while its older version is on its way to L2: that one arriving settles nothing newer."""
    listener = Listener()
    debts = Debts(listener, ttl_s=60)
    debts.owe("a", version(1))
    owed = []

    def meanwhile() -> None:
        debts.owe("a", None if newer is None else version(newer))

    async def nap(_seconds: float) -> None:
        pass

    listener.meanwhile = meanwhile
    await debts._pay_some()
    owed.append(debts.owes("a"))
    await debts.pay()

    assert owed == [True]
    assert listener.told[1:] == [("invalidated", "a") if newer is None else ("a", 2, 60, 0)]


async def test_debts_of_an_invalidation_are_not_settled_by_a_write():
    """That L2 has a version says nothing of whether it has what made the older one wrong; both are paid."""
    listener = Listener()
    debts = Debts(listener, ttl_s=60)
    debts.owe("a", None)

    debts.settle("a", version(9))
    debts.owe("a", version(9))
    debts.owe_tag("shop")
    assert [debts.owes("a"), debts.owes("b"), debts.owes("b", ["shop"]), debts.owes("b", ["x"])] == [1, 0, 1, 0]
    await debts.pay()

    assert listener.told == [("tag", "shop"), ("invalidated", "a")]
    assert len(debts) == 0
    assert not debts.owes("b", ["shop"])


async def test_debts_too_many_to_remember_become_one_for_everything():
    """Beyond the bound nothing in L2 is believed by this replica, until the floor there is raised."""
    listener = Listener()
    debts = Debts(listener, ttl_s=60, max_keys=2)
    for key in ("x", "y"):
        debts.owe(key, version(1))
    assert (len(debts), debts.owes("other")) == (2, False)

    debts.owe("z", version(1))
    assert (len(debts), debts.owes("other"), debts.overflows) == (1, True, 1)
    debts.owe("later", version(5))
    await debts.pay()

    assert listener.told == [("everything",), ("later", 5, 60, 0)]
    assert (len(debts), debts.owes("other")) == (0, False)


async def test_debts_for_everything_are_not_settled_by_an_earlier_floor():
    """There were too many once more while the floor was raised: it speaks of what was committed before."""
    listener = Listener()
    debts = Debts(listener, ttl_s=60, max_keys=1)
    for key in "ab":
        debts.owe(key, version(1))
    listener.meanwhile = lambda: [debts.owe(key, version(2)) for key in "cd"]

    await debts._pay_some()
    assert debts.owes("any")
    await debts.pay()

    assert listener.told == [("everything",), ("everything",)]


async def test_debts_come_back_when_they_are_told_to_but_soon():
    """As long as L2 says, a quarter of a second at most."""
    naps = []

    async def nap(seconds: float) -> None:
        naps.append(seconds)

    debts = Debts(Listener(0.1, 30.0), ttl_s=60, sleep=nap)
    debts.owe("a", version(1))

    await debts.pay()

    assert naps == [0.1, 0.25]


async def test_debts_are_paid_a_few_at_a_time():
    """Ten thousand of them are not as many round trips in a row, and no rush on a Redis that has just come back."""
    under_way = most = 0

    class Slow(Listener):
        async def hear(self, *_: object) -> None:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1

    debts = Debts(Slow(), ttl_s=60)
    for key in range(200):
        debts.owe(str(key), version(1))

    await debts.pay()

    assert (most, debts.paid) == (8, 200)


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
    assert [told[0] for told in listener.told] == ["a", "b"]
    assert len(debts) == 0
