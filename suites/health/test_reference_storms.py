"""After a storm of clients that go away, the service has all that it can lend: every connection of both pools."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import asyncpg
import httpx
import pytest

from suites.support.core.pools import postgres_options
from suites.support.dice import dice_of
from suites.support.replicas import put, until
from suites.support.served import served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from random import Random

CONNECTIONS = 4
ALL_AT_ONCE = 40
VICTIMS = 6
LENT = {
    "pool": {"max_connections": CONNECTIONS, "min_idle": 0, "acquire_timeout_s": 60.0, "connect_timeout_s": 60.0},
    "redis": {"connections": CONNECTIONS + 1, "timeout_s": 60.0},  # the one that listens for news is never given back
    "postgres": {"timeout_s": 60.0},
    "cache": {"ttl_s": 0.02, "l1_ttl_s": 0.01},  # so that nearly each read asks Redis and Postgres
    "limiter": {"rate_per_s": 1e6, "burst": 1e6},
    "breaker": {"failures": 100_000},
}
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%items%'"


async def storm(ask: Callable[[Random], Awaitable[None]], dice: Random, *, until_gone: int) -> None:
    """Let many ask all the time, and some of them go away at any moment, until so many have."""
    callers: set[asyncio.Task[None]] = set()
    gone = 0
    while gone < until_gone:
        while len(callers) < ALL_AT_ONCE:
            callers.add(asyncio.create_task(ask(dice)))
        await asyncio.sleep(dice.uniform(0, 0.003))
        for victim in dice.sample(sorted(callers, key=id), VICTIMS):
            gone += victim.cancel()
        callers = {caller for caller in callers if not caller.done()}
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)


async def ask_anything(client: httpx.AsyncClient, dice: Random) -> None:
    """Read, write, search, hand in a task, or look at one."""
    item, word = dice.randrange(2000), dice.choice(["read", "write", "search", "search", "search", "task", "look"])
    with suppress(httpx.TransportError):
        if word == "read":
            await client.get(f"/items/{item}")
        elif word == "write":
            await put(client, item, "in a storm")
        elif word == "search":
            await client.get("/search", params={"text": f"{item}"})
        elif word == "task":
            await client.post("/tasks", json={"kind": "import", "items": [{"item": item, "value": "x"}]})
        else:
            await client.get(f"/tasks/{item:032x}")


class Items:
    """A session that can keep all others from the items, and one that counts those that wait for them."""

    def __init__(self, holding: asyncpg.Connection, watching: asyncpg.Connection) -> None:
        self._holding, self._watching = holding, watching

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Keep all others from the items."""
        async with self._holding.transaction():
            await self._holding.execute("LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
            yield

    async def are_waited_for(self, *, times: int) -> None:
        """Wait until so many statements wait for them, each on a connection of its own."""

        async def are_waiting() -> bool:
            return await self._watching.fetchval(WAITING) == times

        await until(are_waiting)


@pytest.fixture
async def items(servers):
    """Of the session's Postgres."""
    sessions = [await asyncpg.connect(**postgres_options(servers[1], name)) for name in ("holding", "watching")]
    yield Items(*sessions)
    for session in sessions:
        await session.close()


def cold_reads(client: httpx.AsyncClient) -> list[asyncio.Task[httpx.Response]]:
    """Begin as many reads, each of what is not held yet, as there are connections."""
    tenant = {"x-tenant": secrets.token_hex(4)}
    return [asyncio.create_task(client.get(f"/items/{item}", headers=tenant)) for item in range(CONNECTIONS)]


async def test_all_pools_are_whole_after_a_storm_of_cancelled_requests(world, items):
    """Cancelled at any step of theirs, whatever they ask for: both pools lend all they have, and no reply is left (P2, P3)."""
    client = await world.replica(**LENT)
    parts = client.app.state.parts

    await storm(lambda dice: ask_anything(client, dice), dice_of(31), until_gone=600)

    async def is_quiet() -> bool:  # what was begun for others ends by itself
        stats = parts.store.pool.stats()
        return (stats.in_use, stats.waiting, client.app.state.metrics.in_flight._value.get()) == (0, 0, 0)

    await until(is_quiet)
    async with items.held():
        reads = cold_reads(client)
        await items.are_waited_for(times=CONNECTIONS)
    assert [(await read).status_code for read in reads] == [404] * CONNECTIONS

    pool, tags = parts.link._pool, range(CONNECTIONS)
    async with asyncio.timeout(30):
        lent = [await pool.get_connection() for _ in tags]
    for connection, tag in zip(lent, tags, strict=True):
        await connection.send_command("ECHO", tag)
    assert [await connection.read_response() for connection in lent] == [b"%d" % tag for tag in tags]
    for connection in lent:
        await pool.release(connection)
    failures = {breaker.name: breaker.standing().failures for breaker in parts.breakers}
    assert failures == {"redis": 0, "postgres": 0}, "going away is nobody's failure"


async def test_a_replica_is_whole_after_its_clients_went_away_and_its_time_limit_cut_off(servers, items, tmp_path):
    """In a process of its own, with sockets that close: all connections to Postgres are lent again, at the same time (P2)."""
    flat = {f"{group}_{name}": value for group, named in LENT.items() for name, value in named.items()}
    async with served(tmp_path, *servers, **flat, request_timeout_s=0.2) as replica:

        async def ask(dice: Random) -> None:
            await ask_anything(replica.client, dice)

        async with items.held():
            await storm(ask, dice_of(32), until_gone=150)
        await storm(ask, dice_of(33), until_gone=150)

        async with items.held():
            reads = cold_reads(replica.client)
            await items.are_waited_for(times=CONNECTIONS)
            assert {(await read).status_code for read in reads} == {503}, "the time limit answers for them"

        async def is_served() -> bool:
            return (await replica.client.get("/items/1")).status_code == 200

        await until(is_served)
        assert "Traceback" not in replica.log()
