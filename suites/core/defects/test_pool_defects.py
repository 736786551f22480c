"""Each seeded defect of the pool against the healthy one, on a real PostgreSQL; the letters are those of the contract."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count
from random import Random

import pytest

from fixtures.defects import installed
from fixtures.reference.clock import MonotonicClock
from fixtures.reference.core.pool import PoolPolicy, PoolTimeout
from fixtures.reference.core.pool.postgres import PostgresDriver
from fixtures.reference.parts import Design
from suites.support.core.pools import PostgresCount, postgres_options
from suites.support.servers import free_port

NUMBERS = count()
IN_VAIN_S = 2.0  # what a caller waits for a connection that does not come


@pytest.fixture
async def served(postgres_port):
    """The name of a new application, and what PostgreSQL counts of its connections."""
    name = f"defects-{next(NUMBERS)}"
    counting = PostgresCount(postgres_port, name)
    yield name, counting
    await counting.end()


@pytest.fixture
async def pooled(postgres_port, served):
    """Make pools of services with a defect, on a real PostgreSQL; all are closed in the end."""
    pools = []

    def make(defect: str, *, most: int, kind: type[PostgresDriver] = PostgresDriver):
        policy = PoolPolicy(max_connections=most, min_idle=0, acquire_timeout_s=IN_VAIN_S)
        driver = kind(postgres_options(postgres_port, served[0]))
        pool = installed(defect, Design()).pool
        pools.append(pool("postgres", driver, policy, clock=MonotonicClock(), random=Random(1)))
        pools[-1].open()
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close(within_s=1)


class Away(PostgresDriver):
    """A PostgreSQL that is away until it is back: its port refuses connections."""

    is_back = False

    async def connect(self):
        options = self._options if self.is_back else {**self._options, "port": free_port()}
        return await PostgresDriver(options).connect()


async def usable(pool, most: int) -> int:
    """Return how many connections can be held at a time."""
    held = []
    with suppress(PoolTimeout):
        for _ in range(most):
            held.append(await pool.acquire())  # noqa: PERF401 - it may end early
    for lease in held:
        pool.release(lease)
    return len(held)


@pytest.mark.parametrize(("defect", "total"), [("", 2), ("pool-leaks", 1)])
async def test_a_caller_that_goes_away_keeps_no_connection_unless_the_pool_leaks(pooled, defect, total):
    """It is cancelled in the moment in which it is handed one of two (P2)."""
    pool = pooled(defect, most=2)
    held = [await pool.acquire() for _ in range(2)]
    waiting = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0)

    pool.release(held[0])
    waiting.cancel()
    await asyncio.wait([waiting])
    pool.release(held[1])

    assert await usable(pool, 2) == total


@pytest.mark.parametrize(("defect", "total"), [("", 4), ("pool-counts-failed-attempts", 0)])
async def test_a_pool_recovers_from_an_outage_unless_it_counts_failed_attempts(pooled, defect, total):
    """Five requests find PostgreSQL away; when it is back there are as many connections as ever (P2)."""
    pool = pooled(defect, most=4, kind=Away)
    for _ in range(5):
        with pytest.raises((OSError, PoolTimeout)):
            await pool.acquire(timeout_s=IN_VAIN_S / 5)

    pool._driver.is_back = True

    assert await usable(pool, 4) == total


@pytest.mark.parametrize(("defect", "order"), [("", [0, 1, 2, 3, 4]), ("pool-serves-the-last", [4, 3, 2, 1, 0])])
async def test_who_waits_longest_is_served_first_unless_the_last_is(pooled, defect, order):
    """Five wait for the one connection that there is (P4)."""
    pool = pooled(defect, most=1)
    held = await pool.acquire()
    served = []

    async def ask(number: int) -> None:
        async with pool.loan(timeout_s=10):
            served.append(number)

    asking = []
    for number in range(5):
        asking.append(asyncio.create_task(ask(number)))
        await asyncio.sleep(0)
    pool.release(held)
    await asyncio.gather(*asking)

    assert served == order


@pytest.mark.parametrize(("defect", "total"), [("", 4), ("pool-exceeds-its-maximum", 12)])
async def test_postgres_counts_no_more_than_was_agreed_unless_the_maximum_is_exceeded(pooled, served, defect, total):
    """Twelve ask in one moment, where four connections are the most (P1)."""
    pool = pooled(defect, most=4)
    leases = await asyncio.gather(*(pool.acquire() for _ in range(12)), return_exceptions=True)

    counted = await served[1].counted()
    lent = [each for each in leases if not isinstance(each, PoolTimeout)]
    for each in lent:
        pool.release(each)

    assert (counted, len(lent)) == (total, total)
