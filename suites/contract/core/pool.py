"""What a pool of connections promises, P1 to P7, for every library and a real server.

A suite derives a class from `PoolContract`, and says with `offer` which pool it means. What a library does not claim is
skipped as not offered; what it claims and does not keep is red.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from suites.support.dice import dice_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from random import Random

FAIR, READY, MISUSE, SPOILED, PROMPT_END, SERVER_COUNT = (
    "fair", "ready", "misuse", "spoiled", "prompt end", "server count"
)  # fmt: skip
CLAIMS = {
    FAIR: "those who wait are served in the order of asking (P4)",
    READY: "a number of connections is kept ready, also after the server dropped them (P5)",
    MISUSE: "giving back twice, or to another pool, is an error (P7)",
    SPOILED: "what was cut short in a command or a transaction is not lent again as it is (P3)",
    PROMPT_END: "closing takes no longer than it is given, and refuses those who wait (P6)",
    SERVER_COUNT: "the server never counts more than the maximum (P1)",
}
IN_TIME_S = 10.0
"""For what takes milliseconds, on a machine that does much else."""
CONNECTED_S = 2.0
"""What a connection takes at most on such a machine, where the time that a caller has is what is asked about."""
STORM_S = 0.8
TASKS = 25


class Offer(Protocol):
    """One library's pool on one real server, of `maximum` connections of which `ready` are kept.

    Attributes:
        claims: Those of `CLAIMS` that the library claims.
        refusals: What `acquire` raises when no connection becomes free in time.
        closings: What it raises when the pool is closed.
        misuses: What `release` raises for a mistake.
    """

    claims: frozenset[str]
    refusals: tuple[type[BaseException], ...]
    closings: tuple[type[BaseException], ...]
    misuses: tuple[type[BaseException], ...]

    async def open(self, *, maximum: int, ready: int, timeout_s: float) -> None:
        """Open the pool."""

    async def acquire(self) -> Any:
        """Borrow a connection; what is returned is only handed to the methods below."""

    async def release(self, borrowed: Any) -> None:
        """Give it back."""

    async def echo(self, borrowed: Any, tag: int) -> int:
        """Let the server say `tag` on this connection."""

    async def dawdle(self, borrowed: Any, seconds: float) -> None:
        """Keep the server busy on this connection."""

    async def begin(self, borrowed: Any) -> None:
        """Begin a transaction on this connection, and leave it open."""

    async def is_in_transaction(self, borrowed: Any) -> bool:
        """Ask the server whether a transaction is open on this connection."""

    async def close(self, *, within_s: float) -> None:
        """Close the pool."""

    async def counted(self) -> int:
        """Ask the server, on another connection, how many of this pool it counts."""

    async def drop_all(self) -> None:
        """Let the server drop all connections of this pool."""


@dataclass
class Seen:
    """What came of a storm: the largest count at the server, replies of others, errors, connections usable after it."""

    most: int = 0
    asked: int = 0
    wrong: list[tuple[int, int]] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    usable: int = 0
    counted: int = 0


class PoolContract:
    """Derive, and say in `offer` what is held to it."""

    @pytest.fixture
    async def offer(self) -> AsyncIterator[Offer]:
        """Yield what is held to the contract, not open yet; end it."""
        raise NotImplementedError
        yield  # noqa: PT022 - those who derive end it after it

    @pytest.fixture
    def needs(self, offer):
        """Skip what the library does not claim."""

        def claim(name: str) -> None:
            if name not in offer.claims:
                pytest.skip(f"not offered: {CLAIMS[name]}")

        return claim

    async def test_capacity_and_replies_survive_a_storm_of_cancellations(self, offer):
        """All is usable afterwards (P2), each reply was its caller's (P3), and no other error was seen."""
        seen = await storm(offer, dice_of(11), maximum=5)

        assert seen.asked > TASKS
        assert seen.wrong == []
        assert seen.errors == []
        assert seen.usable == 5
        assert seen.counted <= 5

    async def test_the_server_never_counts_more_than_the_maximum_in_a_storm(self, offer, needs):
        """Those being opened and those being closed included (P1)."""
        needs(SERVER_COUNT)

        seen = await storm(offer, dice_of(12), maximum=4, watched=True)

        assert 1 <= seen.most <= 4

    async def test_fifty_that_ask_at_once_share_what_there_is(self, offer):
        """The pool grows to its maximum, and each caller has its reply (P1, P3)."""
        async with opened(offer, maximum=4):

            async def use(tag: int) -> int:
                async with borrowed(offer) as connection:
                    return await offer.echo(connection, tag)

            assert await asyncio.gather(*(use(tag) for tag in range(50))) == list(range(50))
            assert await offer.counted() <= 4

    async def test_those_who_wait_are_served_in_the_order_of_asking(self, offer, needs):
        """And nobody is passed over: the longest wait is that of the last (P4)."""
        needs(FAIR)
        served: list[int] = []
        async with opened(offer, maximum=1):

            async def use(number: int) -> None:
                async with borrowed(offer) as connection:
                    served.append(number)
                    await offer.echo(connection, number)

            first = await offer.acquire()
            users = []
            for number in range(30):
                users.append(asyncio.create_task(use(number)))
                await asyncio.sleep(0)
            await offer.release(first)
            await asyncio.gather(*users)

        assert served == list(range(30))

    async def test_a_caller_is_refused_when_its_time_is_over(self, offer):
        """And the next caller finds the capacity as it was (P2)."""
        async with opened(offer, maximum=1, timeout_s=CONNECTED_S):
            held = await offer.acquire()
            with pytest.raises(offer.refusals):
                await offer.acquire()

            await offer.release(held)
            async with borrowed(offer) as connection:
                assert await offer.echo(connection, 7) == 7

    async def test_a_command_that_is_cut_short_disturbs_no_later_caller(self, offer, needs):
        """The caller after it has the one connection there may be, at once, and its own reply (P3)."""
        needs(SPOILED)
        async with opened(offer, maximum=1):

            async def use() -> None:
                async with borrowed(offer) as connection:
                    await offer.dawdle(connection, 30)

            for tag in range(5):
                user = asyncio.create_task(use())
                await asyncio.sleep(0.01 * tag)
                user.cancel()
                await asyncio.wait([user])
                async with asyncio.timeout(IN_TIME_S):
                    async with borrowed(offer) as connection:
                        assert await offer.echo(connection, tag) == tag

    async def test_a_transaction_that_is_left_open_reaches_no_later_caller(self, offer, needs):
        """Neither by a caller that forgot it, nor by one that was cancelled in it (P3)."""
        needs(SPOILED)
        async with opened(offer, maximum=1):
            async with borrowed(offer) as connection:
                await offer.begin(connection)
                assert await offer.is_in_transaction(connection)

            async with borrowed(offer) as connection:
                assert not await offer.is_in_transaction(connection)

    async def test_some_are_kept_ready(self, offer, needs):
        """Without a caller that asks (P5)."""
        needs(READY)
        async with opened(offer, maximum=5, ready=3):
            await until(offer, 3)

    async def test_what_the_server_drops_is_replaced(self, offer, needs):
        """At most one error for each connection, then all work again, without a caller that asks for it (P5)."""
        needs(READY)
        async with opened(offer, maximum=3, ready=3):
            await until(offer, 3)
            await offer.drop_all()

            errors = 0
            for tag in range(30):
                try:
                    async with borrowed(offer) as connection:
                        assert await offer.echo(connection, tag) == tag
                except Exception:  # noqa: BLE001 - each library has its own
                    errors += 1

            assert errors <= 3
            await until(offer, 3)

    async def test_closing_ends_in_time_and_refuses_those_who_wait(self, offer, needs):
        """Even if one does not come back; afterwards the server counts none (P6)."""
        needs(PROMPT_END)
        await offer.open(maximum=1, ready=0, timeout_s=60)
        held = await offer.acquire()
        waiting = asyncio.create_task(offer.acquire())
        await asyncio.sleep(0)
        dawdling = asyncio.create_task(offer.dawdle(held, 30))
        await asyncio.sleep(0.05)
        began_s = asyncio.get_running_loop().time()

        await offer.close(within_s=0.3)

        assert asyncio.get_running_loop().time() - began_s < IN_TIME_S
        with pytest.raises(offer.closings):
            await waiting
        with pytest.raises(offer.closings):
            await offer.acquire()
        dawdling.cancel()
        await asyncio.gather(dawdling, return_exceptions=True)

    async def test_a_connection_is_given_back_once(self, offer, needs):
        """The second time is an error, and the next caller's connection stays its own (P7)."""
        needs(MISUSE)
        async with opened(offer, maximum=1):
            first = await offer.acquire()
            await offer.release(first)
            second = await offer.acquire()

            with pytest.raises(offer.misuses):
                await offer.release(first)

            assert await offer.echo(second, 3) == 3
            await offer.release(second)


@asynccontextmanager
async def opened(offer: Offer, *, maximum: int, ready: int = 0, timeout_s: float = IN_TIME_S) -> AsyncIterator[None]:
    """Open it; close it in the end."""
    await offer.open(maximum=maximum, ready=ready, timeout_s=timeout_s)
    try:
        yield
    finally:
        await offer.close(within_s=IN_TIME_S)


@asynccontextmanager
async def borrowed(offer: Offer) -> AsyncIterator[Any]:
    """Borrow, and give back."""
    connection = await offer.acquire()
    try:
        yield connection
    finally:
        await offer.release(connection)


async def until(offer: Offer, count: int) -> None:
    """Wait until the server counts so many of this pool."""
    async with asyncio.timeout(IN_TIME_S):
        while await offer.counted() != count:  # noqa: ASYNC110 - the server sends no event
            await asyncio.sleep(0.01)


async def storm(offer: Offer, random: Random, *, maximum: int, watched: bool = False) -> Seen:
    """Let callers ask for tagged replies and be cancelled in any moment, then see what is left.

    Half of the commands take no time, half keep the server busy for a moment, and one in ten leaves a transaction open.
    """
    seen = Seen()
    loop = asyncio.get_running_loop()
    async with opened(offer, maximum=maximum):
        until_s = loop.time() + STORM_S
        watch = asyncio.create_task(_watch(offer, seen)) if watched else None
        callers: set[asyncio.Task[None]] = set()
        while loop.time() < until_s:
            while len(callers) < TASKS:
                seen.asked += 1
                callers.add(asyncio.create_task(_call(offer, seen, seen.asked, random.random())))
            await asyncio.sleep(random.uniform(0, 0.003))
            for victim in random.sample(sorted(callers, key=id), 6):
                victim.cancel()
            _collect(callers, seen)
        await asyncio.wait(callers, timeout=IN_TIME_S)
        _collect(callers, seen)
        if watch is not None:
            watch.cancel()
            await asyncio.wait([watch])
        seen.usable = await _usable(offer, maximum)
        seen.counted = await offer.counted()
    return seen


async def _call(offer: Offer, seen: Seen, tag: int, dice: float) -> None:
    async with borrowed(offer) as connection:
        if dice < 0.1:
            await offer.begin(connection)
        elif dice < 0.5:
            await offer.dawdle(connection, 0.002)
        heard = await offer.echo(connection, tag)
        if heard != tag:
            seen.wrong.append((tag, heard))


def _collect(callers: set[asyncio.Task[None]], seen: Seen) -> None:
    for caller in [each for each in callers if each.done()]:
        callers.remove(caller)
        if not caller.cancelled() and (error := caller.exception()) is not None:
            seen.errors.append(error)


async def _watch(offer: Offer, seen: Seen) -> None:
    while True:
        seen.most = max(seen.most, await offer.counted())
        await asyncio.sleep(0.001)


async def _usable(offer: Offer, maximum: int) -> int:
    """Return how many connections can be held at a time."""
    held = []
    try:
        async with asyncio.timeout(IN_TIME_S):
            for _ in range(maximum):
                held.append(await offer.acquire())  # noqa: PERF401 - those that were acquired must be known
    except (TimeoutError, *offer.refusals):
        pass
    usable = len(held)
    for connection in held:
        await offer.release(connection)
    return usable
