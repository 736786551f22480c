"""The pool on a real PostgreSQL and a real Redis: the contract, and what each of the two servers makes of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random

import asyncpg
import pytest
from redis.exceptions import ResponseError

from fixtures.reference.clock import MonotonicClock
from fixtures.reference.core.pool import Cause, Condition, Pool, PoolPolicy
from fixtures.reference.core.pool.postgres import PostgresDriver
from fixtures.reference.core.pool.redis import RedisDriver
from suites.contract.core.pool import PoolContract, storm
from suites.support.core.pools import OurPostgresPool, OurRedisPool, PostgresCount, RedisCount, postgres_options
from suites.support.dice import dice_of


class TestPostgresPool(PoolContract):
    """Ours, with connections of asyncpg."""

    @pytest.fixture
    async def offer(self, postgres_port, request):
        count = PostgresCount(postgres_port, request.node.name[:60])
        yield OurPostgresPool(PostgresDriver(postgres_options(postgres_port, request.node.name[:60])), count)
        await count.end()


class TestRedisPool(PoolContract):
    """Ours, with connections of redis-py."""

    @pytest.fixture
    async def offer(self, redis_port, request):
        count = RedisCount(redis_port, request.node.name)
        options = {"host": "127.0.0.1", "port": redis_port, "client_name": request.node.name}
        yield OurRedisPool(RedisDriver(options), count)
        await count.end()


# PostgreSQL.


@pytest.fixture
async def postgres(postgres_port):
    """A driver, and one connection of it."""
    driver = PostgresDriver(postgres_options(postgres_port))
    connection = await driver.connect()
    yield driver, connection
    driver.terminate(connection)


async def test_pool_never_meets_the_limit_that_postgres_sets_for_its_user(postgres_port):
    """A role that may have four connections and not a fifth is refused none, however its callers are cancelled (P1).

    PostgreSQL itself enforces the limit, so that not a millisecond above it goes unnoticed.
    """
    own = await asyncpg.connect(**postgres_options(postgres_port))
    await own.execute("DROP ROLE IF EXISTS four_at_most; CREATE ROLE four_at_most LOGIN CONNECTION LIMIT 4")
    await own.close()
    count = PostgresCount(postgres_port, "four at most")
    offer = OurPostgresPool(PostgresDriver(postgres_options(postgres_port, "four at most", "four_at_most")), count)

    seen = await storm(offer, dice_of(21), maximum=4)
    await count.end()

    assert seen.errors == []
    assert offer.pool.stats().failed == 0
    assert offer.pool.stats().closed[Cause.SPOILED] > 0


async def test_postgres_connection_tells_its_condition(postgres):
    """Clean, in a transaction, in a failed one, clean again, and closed by the server."""
    driver, connection = postgres
    assert driver.condition(connection) is Condition.CLEAN

    await connection.execute("BEGIN")
    assert driver.condition(connection) is Condition.SPOILED
    with pytest.raises(asyncpg.PostgresError):
        await connection.execute("SELECT 1 / 0")
    assert driver.condition(connection) is Condition.SPOILED
    await connection.execute("ROLLBACK")
    assert driver.condition(connection) is Condition.CLEAN
    await driver.check(connection)

    with pytest.raises(asyncpg.PostgresError):
        await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert driver.condition(connection) is Condition.LOST
    with pytest.raises((asyncpg.InterfaceError, OSError)):
        await driver.check(connection)


@pytest.mark.parametrize("how", ["cancelled", "too late"])
async def test_postgres_connection_is_spoiled_until_a_statement_that_was_cut_short_is_answered(postgres, how):
    """Whether its task was cancelled or its time was over: the next caller would have to wait for the cancelling."""
    driver, connection = postgres
    if how == "cancelled":
        asking = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))
        await asyncio.sleep(0.05)
        asking.cancel()
        await asyncio.wait([asking])
    else:
        with pytest.raises(TimeoutError):
            await connection.execute("SELECT pg_sleep(60)", timeout=0.05)

    assert driver.condition(connection) is Condition.SPOILED


async def test_postgres_is_told_to_stop_before_the_goodbye(postgres, postgres_port):
    """What is asked for a minute is cancelled, and its process is gone when closing returns (P1)."""
    driver, _ = postgres
    connection = await PostgresDriver(postgres_options(postgres_port, "leaving")).connect()
    asking = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))
    await asyncio.sleep(0.05)
    asking.cancel()
    await asyncio.wait([asking])
    count = PostgresCount(postgres_port, "leaving")
    assert await count.counted() == 1

    async with asyncio.timeout(10):
        await driver.close(connection)

    assert await count.counted() == 0
    await count.end()


# Redis.


@pytest.fixture
async def redis(redis_port):
    """A driver, and one connection of it."""
    driver = RedisDriver({"host": "127.0.0.1", "port": redis_port})
    connection = await driver.connect()
    yield driver, connection
    driver.terminate(connection)
    driver.terminate(connection)  # may be said twice


@pytest.mark.parametrize(
    ("commands", "condition"),
    [
        ("SET a 1|GET a|PING", Condition.CLEAN),
        ("MULTI", Condition.SPOILED),
        ("MULTI|SET a 1", Condition.SPOILED),
        ("MULTI|SET a 1|EXEC", Condition.CLEAN),
        ("multi|set a 1|discard", Condition.CLEAN),
        ("WATCH a", Condition.SPOILED),
        ("WATCH a|UNWATCH", Condition.CLEAN),
        ("WATCH a|MULTI|EXEC", Condition.CLEAN),
        ("WATCH a|MULTI|UNWATCH", Condition.SPOILED),
        ("SELECT 1", Condition.SPOILED),
        ("MONITOR", Condition.SPOILED),
        ("CLIENT SETNAME other", Condition.SPOILED),
        ("CLIENT ID", Condition.CLEAN),
        ("GET", Condition.CLEAN),
        ("MULTI|GET|EXEC", Condition.CLEAN),
        ("QUIT", Condition.LOST),
    ],
)
async def test_redis_connection_tells_its_condition(redis, commands, condition):
    """A transaction, a watch and a changed session are not lent on; an error reply is a reply like any other."""
    driver, connection = redis
    for command in commands.split("|"):
        with suppress(ResponseError):
            await connection.execute(*command.split())
    if condition is Condition.LOST:
        async with asyncio.timeout(10):
            while driver.condition(connection) is not Condition.LOST:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.001)

    assert driver.condition(connection) is condition


async def test_redis_connection_is_owed_a_reply_from_the_moment_of_asking(redis):
    """Cancelled after the command was sent and before its reply was read: the next caller would read it (P3)."""
    driver, connection = redis
    asking = asyncio.create_task(connection.execute("BLPOP", "nothing-comes-here", 30))
    await asyncio.sleep(0.02)
    assert driver.condition(connection) is Condition.SPOILED
    asking.cancel()
    await asyncio.wait([asking])

    assert driver.condition(connection) is Condition.SPOILED


async def test_redis_has_let_go_of_a_blocked_client_when_closing_returns(redis, redis_port):
    """Redis frees it at once, and not when its thirty seconds are over (P1)."""
    driver, _ = redis
    connection = await RedisDriver({"host": "127.0.0.1", "port": redis_port, "client_name": "leaving"}).connect()
    asking = asyncio.create_task(connection.execute("BLPOP", "nothing-comes-here", 30))
    await asyncio.sleep(0.02)
    asking.cancel()
    await asyncio.wait([asking])
    count = RedisCount(redis_port, "leaving")
    assert await count.counted() == 1

    async with asyncio.timeout(10):
        await driver.close(connection)

    assert await count.counted() == 0
    await driver.close(connection)  # may be said twice
    await count.end()


async def test_redis_that_greets_nobody_leaves_no_socket_open(dead_port):
    """A server that accepts and says nothing: the attempt ends in time, and its socket is closed."""
    gone = asyncio.Event()

    async def say_nothing(reader, writer):
        while await reader.read(1024):
            pass
        writer.close()
        gone.set()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", dead_port)
    policy = PoolPolicy(max_connections=1, min_idle=0, connect_timeout_s=0.1)
    driver = RedisDriver({"host": "127.0.0.1", "port": dead_port})
    pool = Pool("redis", driver, policy, clock=MonotonicClock(), random=Random(1))
    pool.open()

    with pytest.raises(TimeoutError):
        await pool.acquire()

    await asyncio.wait_for(gone.wait(), 10)
    await pool.close(within_s=1)
    server.close()
    await server.wait_closed()
