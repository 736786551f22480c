"""The pool of the reference core on real servers, as an `Offer` of the contract, and the servers' own counts."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import asyncpg

from fixtures.reference.clock import MonotonicClock
from fixtures.reference.core.pool import Lease, Pool, PoolClosed, PoolMisuse, PoolPolicy, PoolTimeout
from fixtures.reference.core.pool.redis import RedisDriver
from suites.contract.core.pool import CLAIMS

if TYPE_CHECKING:
    from fixtures.reference.core.pool import Driver

COUNT = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1"
DROP = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1"


def postgres_options(port: int, name: str = "", user: str = "postgres") -> dict[str, Any]:
    """Return the arguments of `asyncpg.connect` for a server of these tests."""
    options = {"host": "127.0.0.1", "port": port, "user": user, "database": "postgres", "ssl": False}
    return {**options, "server_settings": {"application_name": name}}


class PostgresCount:
    """What PostgreSQL counts of the connections with one name."""

    def __init__(self, port: int, name: str) -> None:
        self._port, self._name = port, name
        self._own: asyncpg.Connection | None = None

    async def counted(self) -> int:
        return await (await self._connection()).fetchval(COUNT, self._name)

    async def drop_all(self) -> None:
        await (await self._connection()).execute(DROP.replace("$1", f"'{self._name}'"))

    async def end(self) -> None:
        if self._own is not None:
            await self._own.close()

    async def _connection(self) -> asyncpg.Connection:
        if self._own is None:
            self._own = await asyncpg.connect(**postgres_options(self._port, "watching"))
        return self._own


class RedisCount:
    """What Redis counts of the connections with one name."""

    def __init__(self, port: int, name: str) -> None:
        self._name = name
        self._driver = RedisDriver({"host": "127.0.0.1", "port": port, "client_name": "watching"})
        self._own: Any = None

    async def counted(self) -> int:
        return len(await self._clients())

    async def drop_all(self) -> None:
        for client in await self._clients():
            await self._own.execute("CLIENT", "KILL", "ID", client["id"])

    async def end(self) -> None:
        if self._own is not None:
            await self._driver.close(self._own)

    async def _clients(self) -> list[dict[str, str]]:
        if self._own is None:
            self._own = await self._driver.connect()
        listed = await self._own.execute("CLIENT", "LIST")
        clients = [dict(word.partition("=")[::2] for word in line.split()) for line in listed.decode().splitlines()]
        return [client for client in clients if client["name"] == self._name]


class OurPool:
    """The reference core's pool; it claims everything."""

    claims = frozenset(CLAIMS)
    refusals = (PoolTimeout,)
    closings = (PoolClosed,)
    misuses = (PoolMisuse,)

    def __init__(self, driver: Driver[Any], count: PostgresCount | RedisCount) -> None:
        self._driver = driver
        self.counted, self.drop_all = count.counted, count.drop_all
        self.pool: Pool[Any]

    async def open(self, *, maximum: int, ready: int, timeout_s: float) -> None:
        policy = PoolPolicy(max_connections=maximum, min_idle=ready, acquire_timeout_s=timeout_s)
        self.pool = Pool("any", self._driver, policy, clock=MonotonicClock(), random=Random(1))
        self.pool.open()

    async def acquire(self) -> Lease[Any]:
        return await self.pool.acquire()

    async def release(self, borrowed: Lease[Any]) -> None:
        self.pool.release(borrowed)

    async def close(self, *, within_s: float) -> None:
        await self.pool.close(within_s=within_s)


class OurPostgresPool(OurPool):
    """On PostgreSQL, through asyncpg."""

    async def echo(self, borrowed: Lease[Any], tag: int) -> int:
        return await borrowed.connection.fetchval("SELECT $1::bigint", tag)

    async def dawdle(self, borrowed: Lease[Any], seconds: float) -> None:
        await borrowed.connection.execute(f"SELECT pg_sleep({seconds})")

    async def begin(self, borrowed: Lease[Any]) -> None:
        await borrowed.connection.execute("BEGIN")

    async def is_in_transaction(self, borrowed: Lease[Any]) -> bool:
        # A transaction gives all its statements one time, so a moment apart they differ only outside of one.
        first, second = [await borrowed.connection.fetchval("SELECT now()") for _ in range(2)]
        return first == second


class OurRedisPool(OurPool):
    """On Redis, through redis-py."""

    async def echo(self, borrowed: Lease[Any], tag: int) -> int:
        heard = await borrowed.connection.execute("ECHO", tag)
        return tag if heard == b"QUEUED" else int(heard)

    async def dawdle(self, borrowed: Lease[Any], seconds: float) -> None:
        await borrowed.connection.execute("BLPOP", "nothing-comes-here", seconds)

    async def begin(self, borrowed: Lease[Any]) -> None:
        await borrowed.connection.execute("MULTI")

    async def is_in_transaction(self, borrowed: Lease[Any]) -> bool:
        return await borrowed.connection.execute("PING") == b"QUEUED"
