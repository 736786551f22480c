"""What the service asks its store, as `/health/queries`, the metrics and the log tell it; before a real Postgres."""

from __future__ import annotations

import asyncio
import json

import asyncpg
import pytest

from fixtures.reference.core.query import QueryPolicy
from fixtures.reference.core.store import Store
from fixtures.reference.log import set_up
from fixtures.reference.parts import Design
from fixtures.reference.watch import LOG_EVERY_S, watching
from harness.clock import FakeClock
from suites.support.replicas import put, series_of

READ = "SELECT value, version FROM items WHERE tenant = $1 AND id = $2"
IDS = "SELECT id FROM items WHERE tenant = $1 AND value ILIKE $2 ORDER BY id LIMIT $3"


class OneByOne(Store):
    """A store whose search finds numbers, and then asks for each item by itself: the classic N+1."""

    async def search(self, text, *, tenant="", limit):
        rows = await self._run(lambda connection: connection.fetch(IDS, tenant, f"%{text}%", limit))
        return [await self.read(row["id"], tenant=tenant) for row in rows]


async def asked(client, **params):
    """Return what `/health/queries` shows."""
    answer = await client.get("/health/queries", params=params)
    assert answer.status_code == 200
    return answer.json()


def told(capfd, name):
    """Return the events of a name that were logged since the last look."""
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


async def test_statements_are_counted_by_what_they_ask_and_not_by_what_with(world):
    """Three cold reads are one statement of three calls and rows; a write and a search are others; pings are none."""
    client = await world.replica()
    for item in (1400, 1401, 1402, 1402):
        await client.get(f"/items/{item}")
    await put(client, 1403, "a secret value")
    await client.get("/search", params={"text": "a secret text", "limit": 7})
    await client.get("/health/ready")

    shown = await asked(client)

    by_sql = {each["sql"]: each for each in shown["statements"]}
    assert len(by_sql) == len(shown["statements"]) == 3
    assert (by_sql[READ]["calls"], by_sql[READ]["rows"], by_sql[READ]["failed"]) == (3, 3, 0)
    assert (shown["calls"], shown["failed"], shown["repeated"]) == (5, 0, 0)
    assert [each["total_s"] for each in shown["statements"]] == sorted(
        (each["total_s"] for each in shown["statements"]), reverse=True
    )
    assert "secret" not in json.dumps(shown)
    assert len((await asked(client, most=1))["statements"]) == 1


async def test_queries_are_counted_by_how_they_ended(world):
    """Two that succeeded; one that a silent Postgres never answered has failed, is slow, and says who asked."""
    client = await world.replica(postgres={"timeout_s": 2.5}, query={"slow_s": 2.0})
    await client.get("/items/1410")
    await client.get("/search", params={"text": "nothing"})
    world.postgres.silence()
    await client.get("/search", params={"text": "nothing"})

    seen, shown = await series_of(client), await asked(client)

    assert [seen[f"reference_queries_total['{outcome}']"] for outcome in ("ok", "failed")] == [2, 1]
    assert (seen["reference_queries_slow_total[]"], seen["reference_queries_repeated_total[]"]) == (1, 0)
    (slow,) = shown["slowest"]
    assert (slow["scope"], slow["limit_s"]) == ("GET /search", 2.0)
    assert 2.0 < slow["took_s"] < 10
    assert "/items.py:" in slow["place"]


async def test_place_of_a_cold_read_is_where_the_service_loads_it(world):
    """Through the cache, behind which the request that waits is not on the stack, and in its scope all the same."""
    client = await world.replica(query={"slow_s": 0.000_001})
    await client.get("/items/1411")

    (slow,) = (await asked(client))["slowest"]

    assert "fixtures/reference/parts.py:" in slow["place"]
    assert slow["scope"] == "GET /items/{item}"


async def test_request_that_asks_one_by_one_is_found_out(world, capfd):
    """A search that reads each of its items by itself is N+1: shown with its place and column, counted, and logged."""
    client = await world.replica(design=Design(store=OneByOne))
    capfd.readouterr()
    named = {"x-request-id": "n1"}
    for _ in range(3):
        found = await client.get("/search", params={"text": "seeded 15", "limit": 9}, headers=named)
        assert len(found.json()["items"]) == 9
    shown, seen, lines = await asked(client), await series_of(client), told(capfd, "repeated query")

    (repeat,) = shown["repeats"]
    assert (repeat["scope"], repeat["column"]) == ("GET /search", "items.id")
    assert (repeat["calls"], repeat["requests"]) == (9, 3)
    assert "test_reference_queries.py:" in repeat["place"]
    assert repeat["statement"] in {each["id"] for each in shown["statements"]}
    assert (shown["repeated"], seen["reference_queries_repeated_total[]"]) == (3, 3)
    (line,) = lines  # one in ten seconds, whatever comes
    wanted = {"request_id": "n1", "scope": "GET /search", "column": "items.id", "calls": 9, "level": "warning"}
    assert {key: line[key] for key in wanted} == wanted


async def test_search_as_it_is_does_not_repeat_itself(world):
    """A hundred items are one query; four keys are too few to be N+1 in the store above."""
    client = await world.replica()
    await client.get("/search", params={"text": "seeded", "limit": 100})

    assert ((await asked(client))["repeats"], (await asked(client))["calls"]) == ([], 1)


def test_what_stands_out_is_told_once_in_ten_seconds(capfd):
    """An outage makes each query slow: one line, and the next one says how many were not told; each statement has its own."""
    set_up("any")
    clock = FakeClock(50.0)
    log = watching(QueryPolicy(slow_s=0.1), clock)
    for after_s, sql in [(0, "SELECT 1"), (0, "SELECT 1"), (9.9, "SELECT 1"), (0, "SELECT a"), (0.1, "SELECT 1")]:
        clock.advance(after_s)
        log.record(sql, elapsed_s=0.2)

    lines = told(capfd, "slow query")

    assert [(line["sql"], line["untold"]) for line in lines] == [("SELECT $1", 0), ("SELECT a", 0), ("SELECT $1", 2)]
    assert LOG_EVERY_S == 10.0
    assert log.found_slow == 5


@pytest.fixture
async def database(servers):
    """A database of this test alone, whose items have lost their key."""
    _, postgres = servers
    admin = await asyncpg.connect(host="127.0.0.1", port=postgres, user="postgres", database="postgres")
    await admin.execute("CREATE DATABASE keyless")
    yield "keyless"
    await admin.execute("DROP DATABASE keyless WITH (FORCE)")
    await admin.close()


async def test_index_is_advised_where_one_is_missing_and_shown_from_then_on(world, servers, database):
    """With the primary key gone Postgres itself proves what an index would save; with it there is nothing to advise."""
    client = await world.replica(postgres={"database": database}, query={"min_rows": 100})
    for item in (5, 6):
        await client.get(f"/items/{item}")
    (read,) = (await asked(client))["statements"]
    assert read["advice"] is None
    path = f"/health/queries/{read['id']}/advice"
    before = (await client.post(path)).json()

    async with client.app.state.parts.store.pool.loan() as connection:
        await connection.execute("ALTER TABLE items DROP CONSTRAINT items_pkey")
        await connection.execute("ANALYZE items")
    after = (await client.post(path)).json()

    assert before["verdict"] in {"covered", "unproven"}  # never analyzed, perhaps
    assert (after["verdict"], after["statement"]) == (
        "advised",
        'CREATE INDEX CONCURRENTLY ON public.items ("id")',  # as good as both columns here, and narrower
    )
    assert after["cost_after"] < after["cost_before"] / 2
    assert (await asked(client))["statements"][0]["advice"] == after
    async with client.app.state.parts.store.pool.loan() as connection:
        assert await connection.fetchval("SELECT count(*) FROM pg_index WHERE indrelid = 'items'::regclass") == 0


async def test_advice_is_refused_for_what_is_not_known_busy_or_away(world):
    """404 for an unknown statement, 409 while another one is proven, 503 without Postgres; reads are not concerned."""
    client = await world.replica()
    await client.get("/items/1412")
    (read,) = (await asked(client))["statements"]
    path = f"/health/queries/{read['id']}/advice"
    parts = client.app.state.parts

    assert (await client.post("/health/queries/0123456789abcdef/advice")).status_code == 404
    async with parts.proving:
        assert (await client.post(path)).status_code == 409
        assert (await client.get("/items/1413")).status_code == 200
    await world.postgres.cut()
    refused = await client.post(path)

    assert (refused.status_code, int(refused.headers["retry-after"])) == (503, 1)
    assert parts.store.breaker.recent()[0] == 0  # a person's question is not a request's failure
    assert not parts.proving.locked()


async def test_scopes_of_requests_at_once_are_their_own(world):
    """Four requests of two keys each, at once, are no N+1 of eight."""
    client = await world.replica(design=Design(store=OneByOne))
    ask = [client.get("/search", params={"text": f"seeded 16{n}", "limit": 2}) for n in range(4)]
    answers = await asyncio.gather(*ask)
    shown = await asked(client)

    assert {len(answer.json()["items"]) for answer in answers} == {2}
    assert (shown["repeats"], shown["calls"]) == ([], 12)
