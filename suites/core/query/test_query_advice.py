"""Indexes that are advised, on a real PostgreSQL: what proof costs, and what is no proof."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from fixtures.reference.core.query import QueryPolicy, Verdict, advise

POLICY = QueryPolicy(min_rows=1000)
BY_KIND = "SELECT * FROM advised WHERE kind = $1"


@pytest.fixture
async def connect(postgres_port):
    """Open connections to PostgreSQL; the table `advised` has 5000 rows of 500 kinds."""
    connections = []

    async def opened() -> asyncpg.Connection:
        connections.append(
            await asyncpg.connect(
                host="127.0.0.1", port=postgres_port, user="postgres", database="postgres", timeout=60
            )
        )
        return connections[-1]

    first = await opened()
    await first.execute("""
        CREATE TABLE advised (id bigint PRIMARY KEY, kind int, name text) WITH (fillfactor = 50, autovacuum_enabled = off);
        INSERT INTO advised SELECT n, n % 500, 'name ' || n FROM generate_series(1, 5000) AS n;
        ANALYZE advised;
    """)
    yield opened
    await first.execute("DROP TABLE advised")
    for connection in connections:
        await connection.close()


async def test_advice_says_what_to_create_and_what_it_saves(connect):
    """The statement holds off no writers, and can be run as it stands."""
    connection = await connect()

    said = await advise(connection, BY_KIND, POLICY)

    assert said.verdict is Verdict.ADVISED
    assert said.statement == 'CREATE INDEX CONCURRENTLY ON public.advised ("kind")'
    assert said.cost_after < 0.8 * said.cost_before
    await connection.execute(said.statement)
    assert (await advise(connection, BY_KIND, POLICY)).verdict is Verdict.COVERED


@pytest.mark.parametrize(("min_rows", "verdict"), [(4999, Verdict.ADVISED), (5000, Verdict.SMALL)])
async def test_advice_is_for_large_tables(connect, min_rows, verdict):
    """More rows than the least, not as many."""
    said = await advise(await connect(), BY_KIND, replace(POLICY, min_rows=min_rows))

    assert said.verdict is verdict


async def test_advice_is_for_what_saves_enough(connect):
    """What is advised at a fifth is not at 99.9 %; the saving is told."""
    said = await advise(await connect(), BY_KIND, replace(POLICY, min_gain_ratio=0.999))

    assert said.verdict is Verdict.NO_GAIN
    assert "would save" in said.reason


async def test_advice_needs_a_table_that_was_analyzed(connect):
    """Without that the planner guesses."""
    connection = await connect()
    await connection.execute("CREATE TEMPORARY TABLE fresh (a int) WITH (autovacuum_enabled = off)")

    said = await advise(connection, "SELECT * FROM fresh WHERE a = $1", POLICY)

    assert (said.verdict, "never analyzed" in said.reason) == (Verdict.UNPROVEN, True)


async def test_advice_tries_no_table_that_is_too_large(connect):
    """Building would hold off its writers for too long."""
    said = await advise(await connect(), BY_KIND, replace(POLICY, max_table_bytes=1000))

    assert (said.verdict, "too large" in said.reason) == (Verdict.UNPROVEN, True)


async def test_advice_waits_for_no_writer_for_long(connect):
    """A writer that holds the table ends the proof after the lock timeout, and is not disturbed."""
    connection, writer = await connect(), await connect()
    async with writer.transaction():
        await writer.execute("UPDATE advised SET name = 'x' WHERE id = 1")

        async with asyncio.timeout(30):
            said = await advise(connection, BY_KIND, replace(POLICY, lock_timeout_s=0.01))

        assert (said.verdict, "lock timeout" in said.reason) == (Verdict.UNPROVEN, True)
    assert await connection.fetchval("SELECT name FROM advised WHERE id = 1") == "x"


async def test_advice_builds_for_no_longer_than_it_may(connect):
    """A build that takes too long is ended by the server."""
    said = await advise(await connect(), BY_KIND, replace(POLICY, build_timeout_s=0.001))

    assert (said.verdict, "statement timeout" in said.reason) == (Verdict.UNPROVEN, True)


async def test_advice_knows_an_index_that_is_not_used_yet(connect):
    """Rows that were updated while an older transaction looks on keep a new index from use: no proof, not "no gain"."""
    connection, reader, writer = await connect(), await connect(), await connect()
    async with reader.transaction(isolation="repeatable_read"):
        await reader.fetchval("SELECT count(*) FROM advised")
        await writer.execute("UPDATE advised SET kind = kind + 1 WHERE id <= 100")

        said = await advise(connection, BY_KIND, POLICY)

    assert (said.verdict, "not used yet" in said.reason) == (Verdict.UNPROVEN, True)


async def test_advice_leaves_the_connection_as_it_was(connect):
    """No transaction, no prepared statement, no setting stays; what the driver has prepared is still there."""
    connection = await connect()
    mine = await connection.prepare("SELECT 5")
    for sql in (BY_KIND, "SELECT * FROM advised WHERE kind = no_such($1)", "SELECT * FROM advised WHERE id = $1"):
        await advise(connection, sql, POLICY)

    assert not connection.is_in_transaction()
    assert await mine.fetchval() == 5
    assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name = 'query_advice'") == 0
    assert await connection.fetchval("SHOW lock_timeout") == "0"
    assert await connection.fetchval("SHOW plan_cache_mode") == "auto"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM advised WHERE kind = 1; DROP TABLE advised",
        "SELECT * FROM advised WHERE kind = $1 /* ; */ ; DELETE FROM advised",
        "DELETE FROM advised WHERE kind = $1",
        "WITH gone AS (DELETE FROM advised RETURNING *) SELECT * FROM gone JOIN advised ON advised.kind = $1",
    ],
)
async def test_advice_runs_nothing_of_what_it_is_asked_about(connect, sql):
    """A second statement, or one that writes, changes nothing."""
    connection = await connect()

    await advise(connection, sql, POLICY)

    assert await connection.fetchval("SELECT count(*) FROM advised") == 5000


async def test_advice_raises_when_the_connection_is_lost(connect):
    """That is no answer about an index."""
    connection = await connect()
    connection.terminate()

    with pytest.raises(asyncpg.InterfaceError, match="closed"):
        await advise(connection, BY_KIND, POLICY)


class Broken:
    """A connection in front of a real one, on which asking for a plan is a bug."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str):
        return getattr(self._connection, name)

    async def fetchval(self, query: str, *args: object):
        if query.startswith("EXPLAIN"):
            raise KeyError("a bug")
        return await self._connection.fetchval(query, *args)


async def test_advice_hides_no_bug(connect):
    """What is no answer of the server is raised, and the transaction is undone all the same."""
    connection = await connect()

    with pytest.raises(KeyError, match="a bug"):
        await advise(Broken(connection), BY_KIND, POLICY)

    assert not connection.is_in_transaction()
    assert (await advise(connection, BY_KIND, POLICY)).verdict is Verdict.ADVISED


async def test_advice_takes_the_narrowest_index_of_those_that_are_as_good(connect):
    """An index on both columns saves no more than one on the name, which picks one row of five thousand."""
    said = await advise(await connect(), "SELECT * FROM advised WHERE kind = $1 AND name = $2", POLICY)

    assert said.columns == ("name",)
