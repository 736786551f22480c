"""The reference service as its clients see it: real replicas of it, a real Redis and Postgres."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.requests import Request

from fixtures.reference import health, items, live, queries, tasks
from fixtures.reference.app import create_app
from fixtures.reference.callers import caller_of
from fixtures.reference.settings import Settings
from suites.support.replicas import QUICK, is_ready, put, quick_settings, series, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi.dependencies.models import Dependant

ROOT = Path(__file__).parents[2]


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
    assert (await client.get("/health/circuit-breakers")).json()["breakers"]["postgres"]["recent_failures"] == 0


async def test_client_over_its_rate_is_told_when_to_come_back(world):
    """429 with whole seconds in the header, the exact time in the body; another client is not concerned."""
    client = await world.replica(limiter={"rate_per_s": 0.4, "burst": 2})
    greedy = {"x-client-key": "greedy" * 30}

    answers = [await client.get("/items/1", headers=greedy) for _ in range(3)]
    other = await client.get("/items/1", headers={"x-client-key": "other"})

    assert [answer.status_code for answer in [*answers, other]] == [200, 200, 429, 200]
    assert answers[2].headers["retry-after"] == "3"
    assert 2 < answers[2].json()["retry_after_s"] <= 2.6


async def test_writes_take_from_the_same_bucket_as_reads(world):
    """A bucket of two takes one read and one write; a third request of either kind is over the rate, and is not done."""
    client = await world.replica(limiter={"rate_per_s": 0.1, "burst": 2})
    greedy = {"x-client-key": "writer"}

    answers = [
        await client.get("/items/18", headers=greedy),
        await put(client, 18, "first", **greedy),
        await put(client, 18, "second", **greedy),
        await client.get("/items/18", headers=greedy),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert (await client.get("/items/18")).json()["value"] == "first"


@pytest.mark.parametrize("length", [64, 65, 10_000])
async def test_client_key_is_bounded_in_length(length):
    """A client may send any key; what Redis and memory hold of it is 64 characters at most, and its own."""

    async def held(key: str) -> str:
        return (await caller_of(Request({"type": "http"}), client=key)).client

    assert len(await held("a" * length)) == 64
    assert await held("a" * length) != await held("a" * (length - 1) + "b")


def called_by(dependant: Dependant) -> Iterator[Callable[..., object]]:
    """Walk through what FastAPI calls for one request: the route's function and all that it depends on."""
    yield dependant.call
    for each in dependant.dependencies:
        yield from called_by(each)


def test_nothing_is_called_in_a_thread():
    """FastAPI runs a plain function in a thread, for every request: two switches that cost more than most answers."""
    routers = (items.router, tasks.router, health.router, queries.router, live.router)
    routes = [route for router in routers for route in router.routes]
    called = {function for route in routes for function in called_by(route.dependant)}

    assert {function.__name__ for function in called if not inspect.iscoroutinefunction(function)} == set()
    assert caller_of in called


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
    assert (await one.get("/health/circuit-breakers")).json()["breakers"]["redis"]["trips"] >= 1
    ready = await one.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert ready.json()["dependencies"] == {"redis": "down", "postgres": "up"}

    await world.redis.mend()

    async def is_mended() -> bool:
        seen = [(await client.get("/items/13")).headers for client in (one, two)]
        states = [
            (await client.get("/health/circuit-breakers")).json()["breakers"]["redis"]["state"] for client in (one, two)
        ]
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

    before = (await client.get("/health/circuit-breakers")).json()["breakers"]["postgres"]
    last = await put(client, 14, "no")
    after = (await client.get("/health/circuit-breakers")).json()["breakers"]["postgres"]
    assert (after["admitted"], after["rejected"]) == (before["admitted"], before["rejected"] + 1)
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


def _app(redis: int, postgres: int, **store: object):
    return running(Settings(redis={"port": redis}, postgres={"port": postgres, **store}))


@asynccontextmanager
async def running(settings: Settings):
    """An application that has seen its schema."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):

        async def is_prepared() -> bool:
            return app.state.parts.store.is_prepared

        await until(is_prepared)
        yield app


async def test_items_are_seeded_up_to_the_number_that_is_set(servers):
    """Seven items of an empty database are those of 0 to 6; a start with more adds the rest."""
    redis, postgres = servers
    async with _app(redis, postgres) as seed, seed.state.parts.store.pool.loan() as connection:
        await connection.execute("CREATE DATABASE seeded")
    for count in (7, 9):
        store = {"port": postgres, "database": "seeded"}
        async with running(Settings(seed_items=count, redis={"port": redis}, postgres=store)) as app:
            async with app.state.parts.store.pool.loan() as connection:
                rows = await connection.fetch("SELECT id, value FROM items ORDER BY id")

        assert [tuple(row) for row in rows] == [(item, f"seeded {item}") for item in range(count)]


async def test_circuit_breakers_are_shown_each_and_at_a_glance(world):
    """Two closed; with Postgres cut one is open, says for how long, and what became of its calls."""
    client = await world.replica(breaker={"recovery_s": 30, "recovery_max_s": 30})
    await client.get("/items/19")
    calm = (await client.get("/health/circuit-breakers")).json()
    assert {name: each["state"] for name, each in calm["breakers"].items()} == {"redis": "closed", "postgres": "closed"}

    await world.postgres.cut()
    for _ in range(7):
        await put(client, 19, "no")
    hurt = (await client.get("/health/circuit-breakers")).json()

    glance = ("status", "total", "closed", "open", "half_open", "not_closed")
    assert [calm[key] for key in glance] == ["healthy", 2, 2, 0, 0, []]
    assert [hurt[key] for key in glance] == ["degraded", 2, 1, 1, 0, ["postgres"]]
    postgres = hurt["breakers"]["postgres"]
    assert 25 < postgres["retry_after_s"] <= 33
    wanted = {"state": "open", "trips": 1, "admitted": 6, "rejected": 2, "successes": 1, "failures": 5}
    assert {key: postgres[key] for key in wanted} == wanted
    assert hurt["calls"]["rejected"] == 2 + hurt["breakers"]["redis"]["rejected"]


async def test_the_way_of_each_circuit_is_told(world):
    """Postgres is cut, found down by a probe, mended and found up; in each state as many calls as were let through."""
    client = await world.replica(breaker={"recovery_s": 0.2, "recovery_max_s": 0.4, "jitter_ratio": 0})

    async def way() -> list[dict]:
        return (await client.get("/health/circuit-breakers/trace")).json()["breakers"]["postgres"]["stays"]

    async def is_half_open_and_ends(state: str) -> bool:
        await put(client, 19, "tried")
        return [stay["state"] for stay in await way()][-2:] == ["half_open", state]

    await put(client, 19, "well")
    (closed,) = await way()
    await world.postgres.cut()
    for _ in range(7):
        await put(client, 19, "no")
    await until(lambda: is_half_open_and_ends("open"), within_s=5.0)
    await world.postgres.mend()
    await until(lambda: is_half_open_and_ends("closed"), within_s=5.0)

    told = (await client.get("/health/circuit-breakers/trace")).json()["breakers"]
    stays = told["postgres"]["stays"]
    assert (closed["state"], closed["rest_s"]) == ("closed", None)
    assert stays[0]["ago_s"] > closed["ago_s"]
    assert [stay["state"] for stay in stays[:4]] == ["closed", "open", "half_open", "open"]
    assert [stay["rest_s"] and round(stay["rest_s"], 2) for stay in stays[:4]] == [None, 0.2, None, 0.4]
    assert [stay["admitted"] for stay in stays[1:4]] == [0, 1, 0]
    assert [stay["admitted"] for stay in stays[-2:]] == [3, 0]
    assert told["postgres"]["forgotten"] == 0
    assert [stay["state"] for stay in told["redis"]["stays"]] == ["closed"]


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
    assert after["reference_limiter_decisions_total['admitted', 'client']"] == 330
    assert after["reference_cache_reads_total['l3']"] >= 320


async def test_unexpected_error_is_answered_and_logged_once(world, capfd, monkeypatch):
    """A mistake of ours is a 500 with nothing in it, one line in the log, and one in the metrics."""
    client = await world.replica()

    def mistake(*_: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr("fixtures.reference.items.answer", mistake)
    capfd.readouterr()
    answer = await client.get("/items/1")
    logged = [line for line in capfd.readouterr().err.splitlines() if "unexpected error" in line]

    assert (answer.status_code, answer.json()) == (500, {"error": "internal error"})
    assert len(logged) == 1
    assert series((await client.get("/metrics")).text)["reference_errors_total['internal']"] == 1
