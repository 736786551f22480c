"""Each seeded defect of the service around the core against the healthy one: the same check, once red and once green."""

from __future__ import annotations

import asyncio

import asyncpg
import httpx
import pytest

from fixtures.defects import installed
from fixtures.defects.newcomers_held_back import LATE_BY_S
from fixtures.reference.parts import Design
from suites.support.replicas import put, series_of, until
from suites.support.served import APP, served

BROKEN = "fixtures.defects.app:create_app"


@pytest.fixture
async def postgres(postgres_port):
    """A connection past the service."""
    connection = await asyncpg.connect(host="127.0.0.1", port=postgres_port, user="postgres", database="postgres")
    yield connection
    await connection.close()


@pytest.mark.parametrize(("defect", "forgets"), [("", False), ("write-forgotten", True)])
async def test_every_acknowledged_write_is_in_postgres_unless_it_is_forgotten(world, postgres, item, defect, forgets):
    """Of twenty that were answered 200."""
    client = await world.replica(design=installed(defect, Design()))
    items = [item * 100 + number for number in range(20)]
    statuses = {(await put(client, each, "kept")).status_code for each in items}

    found = await postgres.fetchval("SELECT count(*) FROM items WHERE id = ANY($1)", items)
    assert statuses == {200}
    assert (found < 20) == forgets


@pytest.mark.parametrize(("defect", "status"), [("", 503), ("write-acknowledged-early", 200)])
async def test_a_write_that_postgres_never_had_is_refused_unless_acknowledged_early(
    world, postgres, item, defect, status
):
    """Its session ends before the commit, as all do when Postgres is restarted."""
    client = await world.replica(design=installed(defect, Design()))

    async with postgres.transaction():
        await postgres.execute("LOCK TABLE items IN EXCLUSIVE MODE")  # which readers do not mind
        answer = asyncio.create_task(put(client, item, "lost"))

        async def is_under_way() -> bool:
            return await postgres.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0

        await until(is_under_way)
        await postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
        )
        acknowledged = (await answer).status_code

    assert await postgres.fetchval("SELECT value FROM items WHERE id = $1", item) is None
    assert acknowledged == status


@pytest.mark.parametrize(("defect", "grows"), [("", False), ("metrics-series-for-each-item", True)])
async def test_series_are_those_of_the_routes_unless_each_item_has_its_own(world, item, defect, grows):
    """However many items are asked for."""
    client = await world.replica(design=installed(defect, Design()))
    await client.get(f"/items/{item}")
    await series_of(client)  # it has series of its own once it was answered
    before = len(await series_of(client))
    for number in range(20):
        await client.get(f"/items/{item + 1000 + number}")

    assert (len(await series_of(client)) > before) == grows


@pytest.mark.parametrize(("defect", "said"), [("", "down"), ("health-asks-nobody", "up")])
async def test_readiness_says_what_is_down_unless_it_asks_nobody(world, defect, said):
    """Redis and Postgres are both cut off."""
    client = await world.replica(design=installed(defect, Design()))
    await world.redis.cut()
    await world.postgres.cut()

    assert (await client.get("/health/ready")).json()["dependencies"] == {"redis": said, "postgres": said}


@pytest.mark.parametrize(("defect", "status"), [("", 200), ("health-blames-postgres", 503)])
async def test_a_replica_that_can_answer_is_ready_unless_it_blames_postgres(world, item, defect, status):
    """Postgres is cut off, and an item is answered from memory either way."""
    client = await world.replica(design=installed(defect, Design()))
    await put(client, item, "held")
    await world.postgres.cut()

    answers = [await client.get("/health/ready"), await client.get(f"/items/{item}")]

    assert [each.status_code for each in answers] == [status, 200]


@pytest.mark.parametrize(("defect", "status"), [("", 503), ("health-ready-at-once", 200)])
async def test_a_replica_that_has_never_served_is_unready_unless_it_is_ready_at_once(world, item, defect, status):
    """Its Postgres has been away since its start, so an item is refused either way."""
    await world.postgres.cut()
    _, client = await world.started(design=installed(defect, Design()))

    assert (await client.get(f"/items/{item}")).status_code == 503
    assert (await client.get("/health/ready")).status_code == status


@pytest.mark.parametrize(("defect", "told"), [("", True), ("drain-untold", False)])
async def test_a_replica_that_ends_says_so_before_it_is_gone_unless_untold(
    redis_port, postgres_port, tmp_path, defect, told
):
    """Asked until a connection is refused: 503 comes before that."""
    app = BROKEN if defect else APP
    async with served(tmp_path, redis_port, postgres_port, app=app, defect=defect, drain_s=2.0) as replica:
        replica.stop()
        statuses = set()

        async def is_gone() -> bool:
            try:
                statuses.add((await replica.client.get("/health/ready")).status_code)
            except httpx.TransportError:
                return True
            return False

        await until(is_gone)

    assert (503 in statuses) == told


@pytest.mark.parametrize(("defect", "waits"), [("", False), ("newcomers-held-back", True)])
async def test_a_new_connection_is_served_at_once_unless_it_is_held_back(
    redis_port, postgres_port, tmp_path, defect, waits
):
    """Each of ten, as after a restart of the load balancer; of a healthy one a busy machine may delay some."""
    app, took_s = BROKEN if defect else APP, []
    async with served(tmp_path, redis_port, postgres_port, app=app, defect=defect) as replica:
        for _ in range(10):
            async with httpx.AsyncClient(base_url=replica.client.base_url, trust_env=False) as newcomer:
                began_s = asyncio.get_running_loop().time()
                assert (await newcomer.get("/health/live")).status_code == 200
                took_s.append(asyncio.get_running_loop().time() - began_s)

    assert (min(took_s) >= LATE_BY_S) == waits


@pytest.mark.parametrize(("defect", "repeated"), [("", 0), ("queries-shared-by-requests", 1)])
async def test_requests_at_once_are_no_repetition_unless_they_share_a_scope(world, item, defect, repeated):
    """Twenty clients ask for one item each."""
    client = await world.replica(design=installed(defect, Design()))

    await asyncio.gather(*(client.get(f"/items/{item * 100 + number}") for number in range(20)))

    assert len((await client.get("/health/queries")).json()["repeats"]) == repeated
