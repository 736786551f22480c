"""What borrowing a connection and giving it back costs, in semaphores of the same run; other pools beside it."""

from __future__ import annotations

import asyncio
from random import Random

import asyncpg
import psycopg_pool
import pytest

from fixtures.reference.core.pool import Pool, PoolPolicy
from fixtures.reference.core.pool.postgres import PostgresDriver
from suites.support.core.pools import postgres_options
from suites.support.race import race_tasks
from suites.support.servers import start_postgres

TIMES = 100


@pytest.fixture(scope="module")
def postgres_port():
    """The port of a PostgreSQL."""
    with start_postgres() as port:
        yield port


async def test_a_loan_costs_three_microseconds(postgres_port, clock, figures):
    """3 µs where a semaphore takes 0.76: each loan looks at the connection, its age, and whether it needs a check."""
    options = postgres_options(postgres_port, "speed")
    pool = Pool("postgres", PostgresDriver(options), PoolPolicy(), clock=clock, random=Random(1))
    semaphore = asyncio.Semaphore(5)
    conninfo = f"host=127.0.0.1 port={postgres_port} user=postgres dbname=postgres"
    psycopg = psycopg_pool.AsyncConnectionPool(conninfo, min_size=5, open=False)
    theirs = await asyncpg.create_pool(**options, min_size=5, max_size=5)
    pool.open()
    await psycopg.open(wait=True)

    async def ours() -> None:
        for _ in range(TIMES):
            pool.release(await pool.acquire())

    async def bare() -> None:
        for _ in range(TIMES):
            await semaphore.acquire()
            semaphore.release()

    async def in_psycopg() -> None:
        for _ in range(TIMES):
            await psycopg.putconn(await psycopg.getconn())

    async def in_asyncpg() -> None:
        for _ in range(5):
            await theirs.release(await theirs.acquire())

    await ours()
    best = await race_tasks({"semaphore": bare, "ours": ours, "psycopg-pool": in_psycopg}, operations=TIMES)
    with_a_round_trip = await race_tasks({"asyncpg": in_asyncpg}, operations=5, lasts_s=0.3)
    assert pool.stats().in_use == 0
    await pool.close(within_s=1)
    await psycopg.close()
    await theirs.close()

    figures.at_most(
        "pool",
        "acquire and release",
        best["ours"],
        ("semaphore", best["semaphore"]),
        3000 / 760,
        "3 µs : 0.76 µs",
        **{"psycopg-pool": best["psycopg-pool"], **with_a_round_trip},
    )
