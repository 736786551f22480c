"""The reference service as its clients see it: two real replicas of it under uvicorn, a real Redis and Postgres.

Ports of the dependencies lead through a small relay that can be cut, so that an outage is a fact and not a mock.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request

from fixtures.reference.app import create_app
from fixtures.reference.items import client_of
from fixtures.reference.settings import Settings
from suites.support.relay import Relay
from suites.support.servers import free_port, start_postgres, start_redis

if TYPE_CHECKING:
    from fastapi import FastAPI

    from fixtures.reference.parts import Parts

ROOT = Path(__file__).parents[2]
# Quick to recover, and patient with a crowded machine: an outage is a refused connection here, never a slow one.
QUICK = {
    "breaker": {"recovery_s": 0.05, "recovery_max_s": 0.1, "window_s": 30.0},
    "redis": {"timeout_s": 2.0},
    "postgres": {"timeout_s": 10.0},
    "pool": {"connect_timeout_s": 5.0},
    "health_timeout_s": 2.0,
}


@pytest.fixture(scope="module")
def servers():
    """Ports of a real Redis and a real Postgres."""
    with start_redis() as redis, start_postgres() as postgres:
        yield redis, postgres


class World:
    """Replicas, a client for each, and the relays to their dependencies."""

    def __init__(self, redis: Relay, postgres: Relay, stack: AsyncExitStack) -> None:
        self.redis, self.postgres, self._stack = redis, postgres, stack

    async def replica(self, name: str = "replica-1", **settings: object) -> httpx.AsyncClient:
        """Start one in this process; it is stopped with the world."""
        app = create_app(quick_settings(self.redis.port, self.postgres.port, replica=name, **settings))
        await self._stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app)
        client = httpx.AsyncClient(transport=transport, base_url="http://replica")
        await self._stack.enter_async_context(client)
        await until(lambda: is_ready(app, client))
        return client


@pytest.fixture
async def world(servers):
    """A fresh world; items are those of the module's Postgres."""
    relays = [Relay(port) for port in servers]
    for relay in relays:
        await relay.mend()
    async with AsyncExitStack() as stack:
        yield World(*relays, stack)
    for relay in relays:
        await relay.cut()


def quick_settings(redis: int, postgres: int, **settings: object) -> Settings:
    """Settings of a replica that recovers quickly, and finds its dependencies at these ports."""
    groups = {
        "redis": {**QUICK["redis"], "port": redis},
        "postgres": {**QUICK["postgres"], "port": postgres},
    }
    return Settings(**{**QUICK, **groups, **settings})


async def is_ready(app: FastAPI, client: httpx.AsyncClient) -> bool:
    parts: Parts = app.state.parts
    return (await client.get("/health/ready")).status_code == 200 and parts.bus.is_listening


async def until(condition, *, within_s: float = 10.0) -> None:
    """Poll a condition until it holds."""
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.01)


async def put(client: httpx.AsyncClient, item: int, value: str) -> httpx.Response:
    return await client.put(f"/items/{item}", json={"value": value})


def series(text: str) -> dict[str, float]:
    """Return a metrics page as values by name and labels."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {f"{each.name}{sorted(each.labels.values())}": each.value for each in samples}


async def test_item_is_read_through_all_levels_and_says_so(world):
    """Cold from the store, then from memory, and on another replica from Redis."""
    one, two = await world.replica("one"), await world.replica("two")

    seen = [await client.get("/items/10") for client in (one, one, two, two)]

    assert [answer.headers["x-cache"] for answer in seen] == ["l3", "l1", "l2", "l1"]
    assert [answer.headers["x-replica"] for answer in seen] == ["one", "one", "two", "two"]
    assert {answer.headers["x-version"] for answer in seen} == {"1"}
    assert seen[0].json() == {"id": 10, "value": "seeded 10", "version": 1}


async def test_write_is_read_everywhere(world):
    """After the acknowledgement the writer reads its value at once, the other replica when the news has come."""
    one, two = await world.replica("one"), await world.replica("two")
    await one.get("/items/11")
    await two.get("/items/11")

    written = await put(one, 11, "new")
    assert written.status_code == 200
    assert (written.headers["x-version"], written.json()["value"]) == ("2", "new")

    read = await one.get("/items/11")
    assert (read.headers["x-cache"], read.json()["value"]) == ("l1", "new")

    async def is_read_by_the_other() -> bool:
        return (await two.get("/items/11")).headers["x-version"] == "2"

    await until(is_read_by_the_other, within_s=2.0)


async def test_write_creates_what_was_not_there(world):
    """An absent item is 404, also from the cache, until it is written."""
    client = await world.replica()
    assert [(await client.get("/items/99999")).status_code for _ in range(2)] == [404, 404]

    assert (await put(client, 99999, "now")).headers["x-version"] == "1"
    assert (await client.get("/items/99999")).json()["value"] == "now"


async def test_concurrent_writes_get_versions_of_their_own(world):
    """Fifty writes over two replicas become fifty versions, and the last one is what both read."""
    one, two = await world.replica("one"), await world.replica("two")

    answers = await asyncio.gather(*(put(client, 12, f"{n}") for n in range(25) for client in (one, two)))
    last = max(answers, key=lambda answer: answer.json()["version"])

    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 52))

    async def is_settled() -> bool:
        return [(await client.get("/items/12")).json() for client in (one, two)] == [last.json()] * 2

    await until(is_settled, within_s=2.0)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/items/1", b'{"value": "a\\u0000b"}', id="NUL, which Postgres cannot hold"),
        pytest.param("/items/1", b'{"value": "\\ud800"}', id="a lone surrogate"),
        pytest.param("/items/1", b'{"value": 1}', id="a number"),
        pytest.param("/items/1", b"{", id="no JSON"),
        pytest.param("/items/-1", b'{"value": "x"}', id="a negative id"),
        pytest.param("/items/9223372036854775808", b'{"value": "x"}', id="an id beyond bigint"),
    ],
)
async def test_nonsense_is_refused_as_the_clients_fault(world, path, body):
    """Nonsense is 422, is not echoed, and does not count against Postgres."""
    client = await world.replica()

    answer = await client.put(path, content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 422
    assert "input" not in answer.text
    assert (await client.get("/health/circuit-breakers")).json()["postgres"]["recent_failures"] == 0


async def test_client_over_its_rate_is_told_when_to_come_back(world):
    """429 with whole seconds in the header, the exact time in the body; another client is not concerned."""
    client = await world.replica(limiter={"rate_per_s": 0.4, "burst": 2})
    greedy = {"x-client-key": "greedy" * 30}

    answers = [await client.get("/items/1", headers=greedy) for _ in range(3)]
    other = await client.get("/items/1", headers={"x-client-key": "other"})

    assert [answer.status_code for answer in [*answers, other]] == [200, 200, 429, 200]
    assert answers[2].headers["retry-after"] == "3"
    assert 2 < answers[2].json()["retry_after_s"] <= 2.6


@pytest.mark.parametrize("length", [64, 65, 10_000])
def test_client_key_is_bounded_in_length(length):
    """A client may send any key; what Redis and memory hold of it is 64 characters at most, and its own."""

    def held(key: str) -> str:
        return client_of(Request({"type": "http", "headers": [(b"x-client-key", key.encode())]}))

    assert len(held("a" * length)) == 64
    assert held("a" * length) != held("a" * (length - 1) + "b")


async def test_redis_outage_is_hardly_noticed(world):
    """Redis cut: reads and writes succeed within its budget, the breaker opens, and what was owed is paid after."""
    short = {"l1_ttl_s": 0.05}
    one, two = await world.replica("one", cache=short), await world.replica("two", cache=short)
    await one.get("/items/13")
    await two.get("/items/13")

    await world.redis.cut()
    answers = [await put(one, 13, "during")] + [await one.get(f"/items/{item}") for item in range(300, 320)]
    assert {answer.status_code for answer in answers} == {200}
    assert max(answer.elapsed.total_seconds() for answer in answers) < 1.0
    assert (await one.get("/health/circuit-breakers")).json()["redis"]["trips"] >= 1
    ready = await one.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert ready.json()["dependencies"] == {"redis": "down", "postgres": "up"}

    await world.redis.mend()

    async def is_mended() -> bool:
        seen = [(await client.get("/items/13")).headers for client in (one, two)]
        states = [(await client.get("/health/circuit-breakers")).json()["redis"]["state"] for client in (one, two)]
        owed = series((await one.get("/metrics")).text)["reference_cache_debts[]"]
        return {each["x-version"] for each in seen} == {"2"} and set(states) == {"closed"} and owed == 0

    await until(is_mended, within_s=5.0)


async def test_replica_believes_nothing_it_held_while_news_could_be_missed(world):
    """Cut off from Redis for a moment, a replica reads anew what it held, long before its time in memory is over."""
    client = await world.replica()
    await client.get("/items/17")
    assert (await client.get("/items/17")).headers["x-cache"] == "l1"

    await world.redis.cut()
    await world.redis.mend()

    async def is_read_anew() -> bool:
        return (await client.get("/items/17")).headers["x-cache"] != "l1"

    await until(is_read_anew, within_s=4.0)


async def test_postgres_outage_leaves_warm_reads_and_refuses_writes_quickly(world):
    """Postgres cut: warm items are served, past their time as stale; the rest is 503, at once when it is rested."""
    slow = {**QUICK["breaker"], "recovery_s": 30, "recovery_max_s": 30}
    client = await world.replica(cache={"ttl_s": 0.05, "l1_ttl_s": 0.01}, breaker=slow)
    await client.get("/items/14")
    await put(client, 15, "written and not read")

    await world.postgres.cut()
    refusals = [await put(client, 14, "no") for _ in range(8)]
    assert {answer.status_code for answer in refusals} == {503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refusals)

    loop = asyncio.get_running_loop()
    began_s = loop.time()
    last = await put(client, 14, "no")
    assert loop.time() - began_s < 0.05
    assert 25 < last.json()["retry_after_s"] <= 33

    async def is_stale() -> bool:
        answers = [await client.get(f"/items/{item}") for item in (14, 15)]
        assert [answer.status_code for answer in answers] == [200, 200]
        return [answer.headers["x-cache"] for answer in answers] == ["stale", "stale"]

    await until(is_stale, within_s=2.0)
    assert (await client.get("/items/777")).status_code == 503
    assert (await client.get("/health/ready")).json()["status"] == "degraded"


async def test_postgres_back_again_is_noticed_soon(world):
    """Cut and mended, writes succeed within two seconds without a restart."""
    client = await world.replica()
    await world.postgres.cut()
    for _ in range(8):
        await put(client, 16, "no")
    await world.postgres.mend()

    async def is_written() -> bool:
        return (await put(client, 16, "yes")).status_code == 200

    await until(is_written, within_s=2.0)


async def test_replica_waits_for_postgres_and_says_so(world):
    """Started without Postgres it lives, is not ready, and becomes ready by itself."""
    await world.postgres.cut()
    app = create_app(quick_settings(world.redis.port, world.postgres.port))
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://r") as client:
        assert (await client.get("/health/live")).status_code == 200
        waiting = await client.get("/health/ready")
        assert (waiting.status_code, waiting.json()["status"]) == (503, "starting")

        await world.postgres.mend()

        await until(lambda: is_ready(app, client))


async def test_many_replicas_may_start_at_once(servers):
    """Eight replicas meet an empty database at the same moment, and all become ready."""
    redis, postgres = servers
    name = "crowd"
    async with AsyncExitStack() as stack:
        seed = await stack.enter_async_context(_app(redis, postgres))
        async with seed.state.parts.store.pool.loan() as connection:
            await connection.execute(f"CREATE DATABASE {name}")
        apps = await asyncio.gather(
            *(stack.enter_async_context(_app(redis, postgres, database=name)) for _ in range(8))
        )
        async with apps[0].state.parts.store.pool.loan() as connection:
            assert await connection.fetchval("SELECT count(*) FROM items") == 2000


@asynccontextmanager
async def _app(redis: int, postgres: int, **store: object):
    app = create_app(Settings(redis={"port": redis}, postgres={"port": postgres, **store}))
    async with app.router.lifespan_context(app):

        async def is_prepared() -> bool:
            return app.state.parts.store.is_prepared

        await until(is_prepared)
        yield app


async def test_metrics_have_no_label_from_a_request(world):
    """A thousand different paths, clients and methods make no more series than the first ten did."""
    client = await world.replica()

    async def ask(number: int) -> None:
        await client.get(f"/items/{number}", headers={"x-client-key": f"client-{number}"})
        await client.get(f"/nowhere/{number}")
        await client.request(f"M{number}", "/items/1")

    for number in range(10):
        await ask(number)
    before = series((await client.get("/metrics")).text)
    before = series((await client.get("/metrics")).text)
    for number in range(10, 330):
        await ask(number)
    after = series((await client.get("/metrics")).text)

    assert set(after) == set(before)
    assert after["reference_limiter_decisions_total['admitted']"] == 330
    assert after["reference_cache_reads_total['l3']"] >= 320


async def test_unexpected_error_is_answered_and_logged_once(world, capfd, monkeypatch):
    """A mistake of ours is a 500 with nothing in it, one line in the log, and one in the metrics."""
    client = await world.replica()

    def mistake(*_: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr("fixtures.reference.items.client_of", mistake)
    capfd.readouterr()
    answer = await client.get("/items/1")
    logged = [line for line in capfd.readouterr().err.splitlines() if "unexpected error" in line]

    assert (answer.status_code, answer.json()) == (500, {"error": "internal error"})
    assert len(logged) == 1
    assert series((await client.get("/metrics")).text)["reference_errors_total['internal']"] == 1


async def test_replica_under_uvicorn_serves_and_stops_in_order(servers):
    """As it runs in production: started by its factory, it answers, and at SIGTERM ends its work and stops."""
    redis, postgres = servers
    port = free_port()
    environment = {"REFERENCE_REDIS_PORT": str(redis), "REFERENCE_POSTGRES_PORT": str(postgres)}
    command = [
        "-m",
        "uvicorn",
        "fixtures.reference.app:create_app",
        "--factory",
        "--port",
        str(port),
        "--no-access-log",
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, env={**os.environ, **environment}, stderr=asyncio.subprocess.PIPE
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

        async def is_up() -> bool:
            try:
                return (await client.get("/health/ready")).status_code == 200
            except httpx.TransportError:
                return False

        await until(is_up)
        assert (await client.get("/items/20")).status_code == 200
        assert (await put(client, 20, "x")).headers["x-replica"] == "replica-1"
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        _, errors = await process.communicate()

    assert '"event": "stopped"' in errors.decode()
    assert "Traceback" not in errors.decode()
