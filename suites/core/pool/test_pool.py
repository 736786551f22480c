"""The pool in simulated time; invariants P1 to P7 are named in the tests that hold them."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

import pytest

from fixtures.reference.core.pool import (
    LARGE,
    SMALL,
    Cause,
    Condition,
    Pool,
    PoolClosed,
    PoolMisuse,
    PoolPolicy,
    PoolTimeout,
)
from suites.support.core.pooled import Server
from suites.support.core.simulated import clock, in_simulated_time, until_settled

EXACT = PoolPolicy(max_connections=3, min_idle=0, jitter_ratio=0.0)


@asynccontextmanager
async def opened(policy: PoolPolicy = EXACT, server: Server | None = None, name: str = "any"):
    """Open a pool in simulated time; close it in the end."""
    pool = Pool(name, server or Server(), policy, clock=clock(), random=Random(1))
    pool.open()
    yield pool
    await pool.close(within_s=1.0)


async def borrow_all(pool: Pool, count: int | None = None) -> list:
    return [await pool.acquire() for _ in range(count or pool.policy.max_connections)]


async def asking(pool: Pool, count: int = 1) -> list[asyncio.Task]:
    """Begin to ask `count` times, in this order, and return the tasks once all are in line."""
    callers = [asyncio.create_task(pool.acquire()) for _ in range(count)]
    await until_settled()
    return callers


# Lending and handing over.


@in_simulated_time
async def test_pool_lends_the_connection_that_was_used_last():
    """So that those a quiet hour does not need grow old in peace and are closed."""
    async with opened() as pool:
        first, second = await borrow_all(pool, 2)
        one = first.connection
        pool.release(second)
        pool.release(first)

        assert (await pool.acquire()).connection is one


@in_simulated_time
async def test_pool_never_opens_more_than_its_maximum_for_fifty_that_ask_at_once():
    """As the server counts them, which begins with the knock and ends with the goodbye (P1)."""
    server = Server()
    async with opened(server=server) as pool:

        async def use() -> None:
            async with pool.loan() as wire:
                await asyncio.sleep(0.01)
                wire.condition = Condition.SPOILED if wire.number % 2 else Condition.CLEAN

        await asyncio.gather(*(use() for _ in range(50)))

        assert server.most == 3
        assert pool.stats().acquired == 50


@in_simulated_time
async def test_pool_serves_those_who_wait_in_the_order_of_asking():
    """A hundred workers share three connections: each gets its turn in order, and none waits longer than its turn (P4)."""
    waits: list[tuple[int, float]] = []
    async with opened(replace(EXACT, acquire_timeout_s=60)) as pool:

        async def work(number: int) -> None:
            asked_s = clock().now()
            async with pool.loan():
                waits.append((number, clock().now() - asked_s))
                await asyncio.sleep(0.1)

        await asyncio.gather(*(work(number) for number in range(100)))

    assert [number for number, _ in waits] == list(range(100))
    assert max(wait for _, wait in waits) == pytest.approx(0.01 + 33 * 0.1)


@in_simulated_time
async def test_pool_lets_no_newcomer_overtake_those_who_wait():
    """A connection that comes back belongs to the first in line, even if another asks in that very moment (P4)."""
    async with opened(replace(EXACT, max_connections=1)) as pool:
        lease = await pool.acquire()
        (waiting,) = await asking(pool)

        pool.release(lease)
        newcomer = asyncio.create_task(pool.acquire())
        await until_settled()

        assert waiting.done()
        assert not newcomer.done()
        pool.release(await waiting)
        await newcomer


@in_simulated_time
async def test_pool_gives_up_on_time_and_says_for_how_long_it_was_waited():
    """At the policy's time to the millisecond, or at the caller's own; capacity is not touched (P2)."""
    async with opened(replace(EXACT, max_connections=1)) as pool:
        lease = await pool.acquire()
        began_s = clock().now()

        with pytest.raises(PoolTimeout, match=r"^any: no connection became free within 5 s$") as late:
            await pool.acquire()
        assert (clock().now() - began_s, late.value.waited_s, late.value.pool) == (5.0, 5.0, "any")

        with pytest.raises(PoolTimeout, match=r"within 0\.25 s"):
            async with pool.loan(timeout_s=0.25):
                pass
        assert clock().now() - began_s == 5.25

        assert pool.stats().timed_out == 2
        pool.release(lease)
        await pool.acquire(timeout_s=0.001)


@in_simulated_time
async def test_pool_keeps_the_turn_of_those_who_wait_behind_one_that_gave_up():
    """The next in line gets what comes back after it."""
    async with opened(replace(EXACT, max_connections=1)) as pool:
        lease = await pool.acquire()
        hurried = asyncio.create_task(pool.acquire(timeout_s=1.0))
        (patient,) = await asking(pool)
        with pytest.raises(PoolTimeout):
            await hurried

        pool.release(lease)
        await patient

        assert pool.stats().waiting == 0


# Cancelled at any moment.


@in_simulated_time
async def test_pool_passes_on_what_was_handed_to_a_caller_that_is_cancelled_before_it_sees_it():
    """Released, handed over, cancelled, all before the caller runs: the next in line has it, and none is lost (P2)."""
    async with opened(replace(EXACT, max_connections=1)) as pool:
        lease = await pool.acquire()
        first, second = await asking(pool, 2)

        pool.release(lease)
        first.cancel()
        await until_settled()

        assert first.cancelled()
        assert second.done()
        assert pool.stats().in_use == 1


@in_simulated_time
async def test_pool_skips_a_caller_that_was_cancelled_and_has_not_run_since():
    """Cancelled, released, all before the caller runs: the next in line has it (P2)."""
    async with opened(replace(EXACT, max_connections=1)) as pool:
        lease = await pool.acquire()
        first, second = await asking(pool, 2)

        first.cancel()
        pool.release(lease)
        await until_settled()

        assert second.done()
        assert pool.stats().in_use == 1


@in_simulated_time
async def test_pool_keeps_the_connection_of_a_caller_that_was_cancelled_while_it_was_opened():
    """The attempt belongs to the pool, so the next caller finds it there."""
    server = Server()
    async with opened(server=server) as pool:
        (caller,) = await asking(pool)
        caller.cancel()
        await asyncio.sleep(server.connect_s)

        assert pool.stats().idle == 1
        await pool.acquire()
        assert len(server.knocks) == 1


@in_simulated_time
async def test_pool_takes_back_what_a_cancelled_body_borrowed():
    """Giving back has no place where a second cancellation could come between (P2)."""
    async with opened() as pool:

        async def use() -> None:
            async with pool.loan():
                await asyncio.sleep(60)

        user = asyncio.create_task(use())
        await asyncio.sleep(1)
        assert pool.stats().in_use == 1
        user.cancel()
        user.cancel()
        await asyncio.wait([user])

        assert (pool.stats().in_use, pool.stats().idle) == (0, 1)


@in_simulated_time
async def test_pool_is_left_as_it_was_by_a_caller_that_is_thrown_away():
    """A coroutine that is closed in the middle of waiting leaves the line."""
    async with opened(replace(EXACT, max_connections=1)) as pool:
        lease = await pool.acquire()
        asker = pool.acquire()
        asker.send(None)
        assert pool.stats().waiting == 1

        asker.close()

        assert pool.stats().waiting == 0
        pool.release(lease)
        await pool.acquire()


# What comes back.


@in_simulated_time
@pytest.mark.parametrize(
    ("condition", "reuse", "cause"),
    [
        (Condition.SPOILED, True, Cause.SPOILED),
        (Condition.LOST, True, Cause.LOST),
        (Condition.CLEAN, False, Cause.DISCARDED),
    ],
)
async def test_pool_does_not_lend_again_what_is_not_as_it_was(condition, reuse, cause):
    """In the middle of a command, closed by the server, or changed by its caller: it is closed, and counted as that (P3)."""
    server = Server()
    async with opened(server=server) as pool:
        lease = await pool.acquire()
        lease.connection.condition = condition

        pool.release(lease, reuse=reuse)
        await asyncio.sleep(2 * server.close_s)

        assert server.goodbyes == [(0, False)]
        assert {each: count for each, count in pool.stats().closed.items() if count} == {cause: 1}
        assert (await pool.acquire()).connection.number == 1


@in_simulated_time
async def test_pool_counts_a_connection_until_the_server_has_let_go_of_it():
    """The one that replaces it is opened after that and not before, or the server would count one too many (P1)."""
    server = Server(close_s=0.5)
    async with opened(replace(EXACT, max_connections=1), server) as pool:
        lease = await pool.acquire()
        (waiting,) = await asking(pool)

        pool.release(lease, reuse=False)
        await asyncio.sleep(0.499)
        assert (pool.stats().closing, len(server.knocks)) == (1, 1)

        await waiting
        assert (server.most, len(server.knocks)) == (1, 2)


@in_simulated_time
async def test_pool_cuts_a_connection_whose_goodbye_takes_too_long():
    """A server that hangs keeps a place for `close_timeout_s` and no longer."""
    server = Server(close_s=60)
    async with opened(replace(EXACT, max_connections=1, close_timeout_s=0.7), server) as pool:
        pool.release(await pool.acquire(), reuse=False)
        began_s = clock().now()

        await pool.acquire()

        assert server.goodbyes == [(0, True)]
        assert clock().now() - began_s == pytest.approx(0.7 + server.connect_s)


@in_simulated_time
async def test_pool_takes_each_connection_back_once_and_only_its_own():
    """Given back twice, to another pool, or used after it was given back: an error, and nothing else happens (P7)."""
    async with opened(name="ours") as ours, opened(name="theirs") as theirs:
        lease, other = await ours.acquire(), await theirs.acquire()
        ours.release(lease)
        again = await ours.acquire()
        assert again.connection is not other.connection

        with pytest.raises(PoolMisuse, match=r"^ours: a connection was given back twice$"):
            ours.release(lease)
        with pytest.raises(PoolMisuse, match=r"^ours: a connection of theirs was given back here$"):
            ours.release(other)
        with pytest.raises(PoolMisuse, match=r"^ours: a connection was used after it had been given back$"):
            _ = lease.connection

        assert (ours.stats().in_use, theirs.stats().in_use) == (1, 1)
        theirs.release(other)


# A server that is away, and comes back.


@in_simulated_time
async def test_pool_tells_a_failed_attempt_to_the_one_that_waits_longest():
    """Each caller waits for one attempt and no longer; the driver's own error says why, and the place is free again (P2)."""
    server = Server(is_up=False)
    async with opened(replace(EXACT, max_connections=1), server) as pool:
        callers = await asking(pool, 3)

        for number, caller in enumerate(callers):
            with pytest.raises(ConnectionRefusedError, match="it is down"):
                await caller
            assert len(server.knocks) == number + 1 + (number < 2)

        assert (pool.stats().failed, pool.stats().opening) == (3, 0)
        server.is_up = True
        await pool.acquire()


@in_simulated_time
async def test_pool_does_not_fail_a_caller_while_another_attempt_is_under_way_for_it():
    """Of the attempts that fill it up one fails: the caller that joined them gets the next one."""
    server = Server(delays=[0.01, 0.03], is_up=False)
    async with opened(replace(EXACT, min_idle=2), server) as pool:
        (caller,) = await asking(pool)
        await asyncio.sleep(0.02)
        assert (pool.stats().failed, pool.stats().opening) == (1, 1)
        server.is_up = True

        await caller

        assert len(server.knocks) == 2


@in_simulated_time
async def test_pool_has_all_of_its_capacity_after_an_outage():
    """Thirty seconds of callers that are refused cost no place (P2), and what is to be ready is ready in a second (P5)."""
    server = Server()
    async with opened(replace(EXACT, min_idle=2), server) as pool:
        await asyncio.sleep(1)
        server.is_up = False
        server.hang_up()
        for _ in range(30):
            outcomes = await asyncio.gather(*(pool.acquire() for _ in range(5)), return_exceptions=True)
            assert all(isinstance(each, ConnectionRefusedError) for each in outcomes)
            await asyncio.sleep(1)

        server.is_up = True
        await asyncio.sleep(1)

        assert pool.stats().idle == 2
        await borrow_all(pool)


@in_simulated_time
async def test_pool_knocks_gently_at_a_server_that_is_away():
    """While no caller asks, one attempt at a time and two a second, however many are to be ready."""
    server = Server()
    async with opened(PoolPolicy(max_connections=50, min_idle=20), server) as pool:
        await asyncio.sleep(1)
        assert pool.stats().idle == 20
        server.is_up = False
        server.hang_up()
        await asyncio.sleep(1)
        server.knocks.clear()

        await asyncio.sleep(60)

        assert 100 <= len(server.knocks) <= 121
        assert Counter(server.knocks).most_common(1)[0][1] == 1


@in_simulated_time
async def test_pool_does_not_wait_for_ever_for_a_server_that_accepts_and_says_nothing():
    """An attempt ends after `connect_timeout_s`, and its caller hears of it then."""
    server = Server(connect_s=3600)
    async with opened(replace(EXACT, connect_timeout_s=1.5), server) as pool:
        with pytest.raises(TimeoutError):
            await pool.acquire()

        assert clock().now() == 1.5
        assert (server.counted, pool.stats().opening) == (0, 0)


@in_simulated_time
async def test_pool_asks_for_a_sign_of_life_after_a_long_idle_time():
    """Beyond `validate_after_s` and not at it; one that gives none is replaced, and the caller does not notice (P5)."""
    server = Server()
    async with opened(server=server) as pool:
        pool.release(await pool.acquire())
        await asyncio.sleep(30)
        pool.release(await pool.acquire())
        assert server.wires[0].checks == 0

        await asyncio.sleep(30.001)
        pool.release(await pool.acquire())
        assert server.wires[0].checks == 1

        await asyncio.sleep(31)
        server.restart()
        assert (await pool.acquire()).connection.number == 1
        assert pool.stats().closed[Cause.LOST] == 1


@in_simulated_time
async def test_pool_asks_no_connection_that_is_in_steady_use():
    """Each return is a sign of life."""
    server = Server()
    async with opened(server=server) as pool:
        for _ in range(5):
            pool.release(await pool.acquire())
            await asyncio.sleep(20)

        assert server.wires[0].checks == 0


@in_simulated_time
async def test_pool_starts_the_idle_time_anew_after_a_sign_of_life():
    """What was checked a moment ago is lent as it is."""
    server = Server()
    async with opened(server=server) as pool:
        pool.release(await pool.acquire())
        await asyncio.sleep(31)
        pool.release(await pool.acquire())

        pool.release(await pool.acquire())

        assert server.wires[0].checks == 1


@in_simulated_time
async def test_pool_lends_none_unasked_after_one_was_found_lost():
    """A server that was restarted costs one error, not one for each connection (P5)."""
    server = Server()
    async with opened(PoolPolicy(max_connections=10, min_idle=10, validate_after_s=3600), server) as pool:
        await asyncio.sleep(0.6)
        server.restart()
        lease = await pool.acquire()
        lease.connection.condition = Condition.LOST
        pool.release(lease)

        assert all(each.connection.answers for each in await borrow_all(pool))


@in_simulated_time
async def test_pool_looks_through_those_that_are_idle_once_one_was_found_lost():
    """All of them at once, in the background, so that the next callers do not wait for one check after another."""
    server = Server(check_s=0.4)
    async with opened(PoolPolicy(max_connections=10, min_idle=10, validate_after_s=3600), server) as pool:
        await asyncio.sleep(0.6)
        server.restart()
        lease = await pool.acquire()
        lease.connection.condition = Condition.LOST
        pool.release(lease)

        await asyncio.sleep(2)

        assert pool.stats().closed[Cause.LOST] == 10
        assert pool.stats().idle == 10
        assert all(wire.answers for wire in server.wires[10:])


@in_simulated_time
async def test_pool_asks_those_in_doubt_once():
    """One that gave a sign of life is not asked again because another was lost before."""
    server = Server()
    async with opened(replace(EXACT, min_idle=3, validate_after_s=3600), server) as pool:
        await asyncio.sleep(0.6)
        lease = await pool.acquire()
        lease.connection.condition = Condition.LOST
        pool.release(lease)

        await asyncio.sleep(10)

        assert sorted(wire.checks for wire in server.wires[:3]) == [0, 1, 1]


@in_simulated_time
async def test_pool_notices_by_itself_that_the_server_has_hung_up():
    """Those that are to be ready are, a second after a restart, and no caller has seen an error (P5)."""
    server = Server()
    async with opened(replace(EXACT, min_idle=3), server) as pool:
        await asyncio.sleep(0.6)
        server.hang_up()

        await asyncio.sleep(1)

        assert pool.stats().idle == 3
        assert pool.stats().closed[Cause.LOST] == 3


# Age.


@in_simulated_time
async def test_pool_fills_up_within_a_second_and_beside_those_in_use():
    """As far as the maximum lets it (P5)."""
    async with opened(PoolPolicy(max_connections=10, min_idle=4)) as pool:
        await asyncio.sleep(1)
        assert pool.stats().idle == 4

        leases = await borrow_all(pool, 4)
        await asyncio.sleep(1)
        assert pool.stats().idle == 4

        leases += await borrow_all(pool, 4)
        await asyncio.sleep(1)
        assert (pool.stats().in_use, pool.stats().idle) == (8, 2)


@in_simulated_time
async def test_pool_closes_what_is_idle_for_too_long_down_to_those_that_are_to_be_ready():
    """At `idle_max_s` to half a second, and the ones unused for longest first."""
    server = Server()
    async with opened(PoolPolicy(max_connections=10, min_idle=2, validate_after_s=3600), server) as pool:
        for lease in await borrow_all(pool, 6):
            pool.release(lease)
        returned_s = clock().now()

        await asyncio.sleep(returned_s + 299.9 - clock().now())
        assert pool.stats().idle == 6

        await asyncio.sleep(0.7)
        assert pool.stats().idle == 2
        assert pool.stats().closed[Cause.IDLE] == 4
        assert {number for number, _ in server.goodbyes} == {0, 1, 2, 3}


@in_simulated_time
async def test_pool_replaces_old_connections_wherever_it_finds_them():
    """At the end of their life when idle, when lent, and when given back; never in the hands of a caller."""
    server = Server()
    async with opened(replace(EXACT, lifetime_s=100), server) as pool:
        lease = await pool.acquire()
        await asyncio.sleep(99)
        pool.release(lease)
        assert pool.stats().idle == 1
        await asyncio.sleep(1.6)
        assert (pool.stats().idle, pool.stats().closed[Cause.EXPIRED]) == (0, 1)

        lease = await pool.acquire()
        await asyncio.sleep(150)
        assert not lease.connection.is_cut
        pool.release(lease)
        assert (pool.stats().idle, pool.stats().closed[Cause.EXPIRED]) == (0, 2)


@in_simulated_time
async def test_pool_does_not_lend_one_whose_life_has_just_ended():
    """Between two looks of the upkeep, too."""
    server = Server()
    async with opened(replace(EXACT, lifetime_s=100.2), server) as pool:
        pool.release(await pool.acquire())
        await asyncio.sleep(100.21)

        assert (await pool.acquire()).connection.number == 1


@in_simulated_time
async def test_pool_does_not_replace_together_what_was_opened_together():
    """Each life is the policy's, a tenth more or less."""
    server = Server()
    async with opened(PoolPolicy(max_connections=40, min_idle=40, lifetime_s=1000), server) as pool:
        ends: dict[int, float] = {}
        while clock().now() < 1150:
            ends |= {number: clock().now() for number, _ in server.goodbyes if number < 40 and number not in ends}
            await asyncio.sleep(1)

        assert len(ends) == 40
        assert 899 < min(ends.values()) < 930
        assert 1070 < max(ends.values()) < 1102
        assert max(Counter(round(end_s / 10) for end_s in ends.values()).values()) <= 8
        assert pool.stats().closed[Cause.EXPIRED] >= 40


def test_pool_presets_are_what_was_asked_for():
    """100 with 20 ready, 20 with 5 ready; the rest is the same."""
    assert (LARGE.max_connections, LARGE.min_idle) == (100, 20)
    assert (SMALL.max_connections, SMALL.min_idle) == (20, 5)
    for preset in (LARGE, SMALL):
        assert (preset.acquire_timeout_s, preset.idle_max_s, preset.lifetime_s) == (5.0, 300.0, 1800.0)
        assert (preset.jitter_ratio, preset.validate_after_s) == (0.1, 30.0)


# The end.


@in_simulated_time
async def test_pool_waits_at_its_end_for_those_in_use_and_refuses_those_who_wait():
    """Each comes back within the time that is given, and then it is over at once (P6)."""
    server = Server()
    async with opened(replace(EXACT, max_connections=2), server) as pool:
        leases = await borrow_all(pool)
        (waiting,) = await asking(pool)
        for after_s, lease in zip((1.0, 2.0), leases, strict=True):
            asyncio.get_running_loop().call_later(after_s, pool.release, lease)
        began_s = clock().now()

        await pool.close(within_s=30)

        assert clock().now() - began_s == pytest.approx(2.0 + server.close_s)
        assert server.goodbyes == [(0, False), (1, False)]
        with pytest.raises(PoolClosed, match=r"^any: the pool is not open$"):
            await waiting
        with pytest.raises(PoolClosed):
            await pool.acquire()
        with pytest.raises(PoolClosed):
            pool.open()


@in_simulated_time
async def test_pool_cuts_at_its_end_what_does_not_come_back():
    """When its time is over; a caller that gives back later is not told of a mistake it has not made (P6)."""
    server = Server()
    async with opened(server=server) as pool:
        lease, other = await borrow_all(pool, 2)
        pool.release(other)
        began_s = clock().now()

        await pool.close(within_s=3)

        assert clock().now() - began_s == 3
        assert server.goodbyes == [(1, False), (0, True)]
        assert server.counted == 0
        pool.release(lease)
        stats = pool.stats()
        assert (stats.in_use, stats.idle, stats.closing, stats.closed[Cause.SHUTDOWN]) == (0, 0, 0, 2)
        with pytest.raises(PoolMisuse):
            pool.release(lease)


@in_simulated_time
@pytest.mark.parametrize("slow", ["connect_s", "close_s", "check_s"])
async def test_pool_ends_in_time_whatever_the_server_leaves_unanswered(slow):
    """An attempt, a goodbye and a check under way are given up, and nothing is left at the server (P6)."""
    server = Server()
    policy = replace(EXACT, connect_timeout_s=60, close_timeout_s=60)
    async with opened(policy, server) as pool:
        kept, spoiled = await borrow_all(pool, 2)
        pool.release(kept)
        await asyncio.sleep(31)
        setattr(server, slow, 3600)
        callers = await asking(pool, 2)
        pool.release(spoiled, reuse=False)
        await asyncio.sleep(1)
        began_s = clock().now()

        await pool.close(within_s=2)

        assert clock().now() - began_s == 2
        assert server.counted == 0
        assert not pool._tasks
        stats = pool.stats()
        assert (stats.in_use, stats.idle, stats.opening, stats.checking, stats.closing) == (0, 0, 0, 0, 0)
        await pool.close(within_s=2)
        assert clock().now() - began_s == 2
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)


@in_simulated_time
async def test_pool_lets_an_attempt_that_comes_through_after_its_end_go_again():
    """It is closed as politely as any other."""
    server = Server(connect_s=1)
    async with opened(server=server) as pool:
        (caller,) = await asking(pool)

        await pool.close(within_s=5)

        assert server.goodbyes == [(0, False)]
        assert pool.stats().closed[Cause.SHUTDOWN] == 1
        with pytest.raises(PoolClosed):
            await caller


@in_simulated_time
async def test_pool_leaves_nothing_behind_when_its_end_is_cancelled():
    """A second signal while it drains: everything is cut there and then (P6)."""
    server = Server()
    async with opened(server=server) as pool:
        await borrow_all(pool)
        ending = asyncio.create_task(pool.close(within_s=60))
        await asyncio.sleep(1)

        ending.cancel()
        await asyncio.wait([ending])

        assert ending.cancelled()
        assert server.counted == 0
        assert not pool._tasks


@in_simulated_time
async def test_pool_that_was_not_opened_lends_nothing_and_can_be_closed():
    """Twice, too."""
    pool = Pool("any", Server(), EXACT, clock=clock(), random=Random(1))

    with pytest.raises(PoolClosed):
        await pool.acquire()
    await pool.close(within_s=1)
    await pool.close(within_s=1)

    assert clock().now() == 0
