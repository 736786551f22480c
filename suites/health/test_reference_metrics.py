"""Every metric of the reference service against what really happened: each has a test that fails when it lies."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from suites.support.replicas import put, series_of, until

HELD = {
    "reference_request_seconds": "test_requests_are_counted_by_route_method_and_class_of_status",
    "reference_errors": "test_errors_are_counted_by_the_dependency_that_caused_them",
    "reference_requests_in_flight": "test_requests_in_flight_are_those_that_wait_now",
    "reference_limiter_decisions": "test_decisions_of_the_limiter_are_counted_by_who_took_them",
    "reference_cache_reads": "test_reads_are_counted_by_the_level_that_answered",
    "reference_cache_loads": "test_loads_are_those_of_the_store_and_not_those_who_wait",
    "reference_cache_degraded": "test_degraded_grows_while_redis_is_away_and_only_then",
    "reference_cache_evicted": "test_memory_is_told_in_bytes_and_in_what_was_pushed_out",
    "reference_cache_bytes": "test_memory_is_told_in_bytes_and_in_what_was_pushed_out",
    "reference_cache_debts": "test_debts_are_the_writes_that_redis_has_not_heard_of",
    "reference_gzip_bytes": "test_ratio_of_gzip_is_what_went_over_the_wire",
    "reference_gzip_ratio": "test_ratio_of_gzip_is_what_went_over_the_wire",
    "reference_bus_gaps": "test_each_lost_subscription_is_a_gap",
    "reference_bus_listening": "test_each_lost_subscription_is_a_gap",
    "reference_breaker_state": "test_state_of_a_breaker_is_one_of_three",
    "reference_breaker_calls": "test_calls_of_a_breaker_are_counted_by_what_became_of_them",
    "reference_breaker_recent_failures": "test_what_a_breaker_remembers_is_told_until_it_has_forgotten_it",
    "reference_breaker_trips": "test_what_a_breaker_remembers_is_told_until_it_has_forgotten_it",
    "reference_pool_connections": "test_connections_of_the_pool_are_told_by_what_they_do",
    "reference_queries": "test_queries_are_counted_by_how_they_ended",
    "reference_queries_slow": "test_queries_are_counted_by_how_they_ended",
    "reference_queries_repeated": "test_request_that_asks_one_by_one_is_found_out",
    "reference_live_connections": "test_replica_takes_no_more_clients_than_it_may",
    "reference_live_sent": "test_metrics_of_live_are_what_clients_were_told",
    "reference_live_dropped": "test_client_that_takes_nothing_is_cut",
    "reference_live_cut": "test_client_that_takes_nothing_is_cut",
    "reference_live_refused": "test_replica_takes_no_more_clients_than_it_may",
}
"""Metric, and the test that fails when it lies: here, or beside the part that it counts."""

BESIDE = ("test_reference_queries.py", "test_reference_live.py")

RAW = {"accept-encoding": "identity"}
GZIP = {"accept-encoding": "gzip"}
RESTING = {"failures": 5, "recovery_s": 30.0, "recovery_max_s": 30.0}


async def test_each_metric_is_held_by_a_test(world):
    """The table has every family that is exposed, and each of its tests is in this file or beside its part."""
    client = await world.replica()
    await client.get("/items/1")

    page = (await client.get("/metrics")).text
    exposed = {family.name for family in text_string_to_metric_families(page)}

    assert {name.removesuffix("_created") for name in exposed} == HELD.keys()
    beside = "".join((Path(__file__).parent / file).read_text() for file in BESIDE)
    assert all(test in globals() or f"def {test}(" in beside for test in HELD.values())


async def test_requests_are_counted_by_route_method_and_class_of_status(world):
    """Three found, one absent, one written, one refused, one to nowhere: each in its own series, none twice."""
    client = await world.replica()
    for path in ("/items/40", "/items/41", "/items/40", "/items/999998", "/nowhere"):
        await client.get(path)
    await put(client, 40, "x")
    await client.put("/items/40", json={"value": 1})

    counted = {
        name.removeprefix("reference_request_seconds_count"): value
        for name, value in (await series_of(client)).items()
        if name.startswith("reference_request_seconds_count") and "health" not in name
    }

    assert counted == {
        "['/items/{item}', '2xx', 'GET']": 3,
        "['/items/{item}', '4xx', 'GET']": 1,
        "['/items/{item}', '2xx', 'PUT']": 1,
        "['/items/{item}', '4xx', 'PUT']": 1,
        "['4xx', 'GET', 'unmatched']": 1,
    }


async def test_a_request_is_as_long_as_its_client_waits(world):
    """A read that waits half a second for a silent Postgres adds half a second, and is in no bucket below."""
    client = await world.replica(postgres={"timeout_s": 0.5})
    world.postgres.silence()
    clock = asyncio.get_running_loop().time
    began_s = clock()
    await client.get("/items/1901")
    waited_s = clock() - began_s

    seen = await series_of(client)

    labels = "'/items/{item}', '5xx', 'GET'"
    assert 0.45 < seen[f"reference_request_seconds_sum[{labels}]"] <= waited_s
    assert seen["reference_request_seconds_bucket['/items/{item}', '0.25', '5xx', 'GET']"] == 0
    assert seen["reference_request_seconds_bucket['+Inf', '/items/{item}', '5xx', 'GET']"] == 1


async def test_errors_are_counted_by_the_dependency_that_caused_them(world):
    """A cold read without Postgres is one of Postgres; a limiter that may not guess without Redis is one of Redis."""
    client = await world.replica(limiter={"on_failure": "closed"})
    assert [name for name in await series_of(client) if name.startswith("reference_errors_total")] == []

    await world.postgres.cut()
    assert [(await client.get(f"/items/{item}")).status_code for item in (1902, 1903)] == [503, 503]
    await world.redis.cut()
    assert (await client.get("/items/1902")).status_code == 503

    seen = await series_of(client)
    assert seen["reference_errors_total['postgres']"] == 2
    assert seen["reference_errors_total['redis']"] == 1


async def test_requests_in_flight_are_those_that_wait_now(world):
    """Three reads wait for a silent Postgres, and the one that asks is there too; afterwards it is alone."""
    client = await world.replica()
    world.postgres.silence()
    waiting = [asyncio.create_task(client.get(f"/items/{item}")) for item in (1904, 1905, 1906)]

    async def are_all_in_flight() -> bool:
        return (await series_of(client))["reference_requests_in_flight[]"] == 4

    await until(are_all_in_flight)
    await world.postgres.mend()

    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
    assert (await series_of(client))["reference_requests_in_flight[]"] == 1


@pytest.mark.parametrize(
    ("on_failure", "without_redis"),
    [
        pytest.param("local", {"local_admitted": 1, "local_rejected": 2}, id="local"),
        pytest.param("open", {"open_admitted": 3}, id="open"),
        pytest.param("closed", {"closed_rejected": 3}, id="closed"),
    ],
)
async def test_decisions_of_the_limiter_are_counted_by_who_took_them(world, on_failure, without_redis):
    """A bucket of two: two admitted, one rejected by Redis; without it, three more by the policy's share of one."""
    limit = {"rate_per_s": 0.001, "burst": 2, "on_failure": on_failure}
    client = await world.replica(limiter=limit, replicas=2)
    named = {"x-client-key": f"counted-{on_failure}"}
    for _ in range(3):
        await client.get("/items/42", headers=named)
    await world.redis.cut()
    for _ in range(3):
        await client.get("/items/42", headers=named)

    decided = {
        name: value
        for name, value in (await series_of(client)).items()
        if name.startswith("reference_limiter_decisions") and value
    }

    expected = {"admitted": 2, "rejected": 1, **without_redis}
    assert decided == {
        f"reference_limiter_decisions_total{sorted([decision, 'client'])}": count
        for decision, count in expected.items()
    }


async def test_reads_are_counted_by_the_level_that_answered(world):
    """One replica loads three items and reads one again; another finds two of them in Redis; a third one's get stale."""
    one, two = await world.replica("one"), await world.replica("two")
    three = await world.replica("three", cache={"ttl_s": 0.4, "l1_ttl_s": 0.3}, breaker=RESTING)
    for item in (43, 44, 45, 43):
        await one.get(f"/items/{item}")
    for item in (43, 44):
        await two.get(f"/items/{item}")
    await three.get("/items/58")
    await world.postgres.cut()

    async def is_stale() -> bool:
        return (await three.get("/items/58")).headers["x-cache"] == "stale"

    await until(is_stale)
    seen = [await series_of(client) for client in (one, two, three)]

    def reads(of: dict[str, float]) -> list[float]:
        return [of[f"reference_cache_reads_total['{source}']"] for source in ("l1", "l2", "l3", "stale")]

    assert [reads(seen[0]), reads(seen[1])] == [[1, 0, 3, 0], [0, 2, 0, 0]]
    assert reads(seen[2])[2:] == [1, 1]
    answered = "reference_request_seconds_count['/items/{item}', '2xx', 'GET']"
    assert [sum(reads(each)) for each in seen] == [each[answered] for each in seen]


async def test_loads_are_those_of_the_store_and_not_those_who_wait(world):
    """Ten who ask at once for a cold item cause one load, and each of them counts as a read."""
    client = await world.replica()
    world.postgres.silence()
    asking = [asyncio.create_task(client.get("/items/46")) for _ in range(10)]

    async def are_all_waiting() -> bool:
        return (await series_of(client))["reference_requests_in_flight[]"] == 11

    await until(are_all_waiting)
    await world.postgres.mend()
    await asyncio.gather(*asking)

    seen = await series_of(client)
    assert (seen["reference_cache_loads_total[]"], seen["reference_cache_reads_total['l3']"]) == (1, 10)


async def test_degraded_grows_while_redis_is_away_and_only_then(world):
    """Nothing while all is well; with Redis cut, every cold read and every write adds to it."""
    client = await world.replica()
    await client.get("/items/47")
    await put(client, 47, "x")
    assert (await series_of(client))["reference_cache_degraded_total[]"] == 0

    await world.redis.cut()
    before = 0
    for asking in (client.get("/items/48"), put(client, 47, "y"), client.get("/items/49")):
        await asking
        now = (await series_of(client))["reference_cache_degraded_total[]"]
        assert now > before
        before = now


async def test_memory_is_told_in_bytes_and_in_what_was_pushed_out(world):
    """Items of one size: what was put in and not pushed out is what is held, each as large as the first was alone."""
    client = await world.replica(cache={"max_bytes": 10_000})
    empty = await series_of(client)
    await client.get("/items/1100")
    one_bytes = (await series_of(client))["reference_cache_bytes[]"]
    for item in range(1101, 1160):
        await client.get(f"/items/{item}")

    seen = await series_of(client)

    assert (empty["reference_cache_bytes[]"], empty["reference_cache_evicted_total[]"]) == (0, 0)
    assert one_bytes > len('{"id": 1100, "value": "seeded 1100", "version": 1}')
    assert 10_000 - one_bytes < seen["reference_cache_bytes[]"] <= 10_000
    held = 60 - seen["reference_cache_evicted_total[]"]
    assert math.isclose(seen["reference_cache_bytes[]"], held * one_bytes)


async def test_debts_are_the_writes_that_redis_has_not_heard_of(world):
    """Three items written without Redis, one of them twice, are three debts; when it is back there are none."""
    client = await world.replica()
    await world.redis.cut()
    for item in (50, 51, 52, 51):
        await put(client, item, "owed")
    assert (await series_of(client))["reference_cache_debts[]"] == 3

    await world.redis.mend()

    async def is_paid() -> bool:
        return (await series_of(client))["reference_cache_debts[]"] == 0

    await until(is_paid)


async def test_ratio_of_gzip_is_what_went_over_the_wire(world):
    """Two compressed answers of known sizes: bytes before and after, and their quotient; an uncompressed one adds none."""
    client = await world.replica()
    await put(client, 63, "abc" * 5000, **RAW)
    before = await series_of(client)
    packed = [await client.get("/items/63", headers=GZIP) for _ in range(2)]
    await client.get("/items/63", headers=RAW)

    seen = await series_of(client)

    sent_bytes = sum(int(answer.headers["content-length"]) for answer in packed)
    plain_bytes = sum(len(answer.content) for answer in packed)
    assert "reference_gzip_bytes_total['plain']" not in before
    assert math.isnan(before["reference_gzip_ratio[]"])
    assert (seen["reference_gzip_bytes_total['plain']"], seen["reference_gzip_bytes_total['sent']"]) == (
        plain_bytes,
        sent_bytes,
    )
    assert seen["reference_gzip_ratio[]"] == pytest.approx(sent_bytes / plain_bytes)


async def test_each_lost_subscription_is_a_gap(world):
    """The first subscription is one; cut off and back, it is one more."""
    client = await world.replica()

    async def is_at(gaps: int, listening: int) -> bool:
        seen = await series_of(client)
        return (seen["reference_bus_gaps_total[]"], seen["reference_bus_listening[]"]) == (gaps, listening)

    assert await is_at(1, 1)

    await world.redis.cut()
    await until(lambda: is_at(1, 0))
    await world.redis.mend()

    await until(lambda: is_at(2, 1))


async def test_state_of_a_breaker_is_one_of_three(world):
    """Closed while all is well; open after five failures, and the other one is not concerned."""
    client = await world.replica(breaker=RESTING)

    def states(seen, breaker):
        return [seen[f"reference_breaker_state{sorted([breaker, state])}"] for state in ("closed", "open", "half_open")]

    seen = await series_of(client)
    assert (states(seen, "redis"), states(seen, "postgres")) == ([1, 0, 0], [1, 0, 0])

    await world.postgres.cut()
    for _ in range(6):
        await put(client, 53, "no")
    seen = await series_of(client)
    assert (states(seen, "redis"), states(seen, "postgres")) == ([1, 0, 0], [0, 1, 0])


async def test_calls_of_a_breaker_are_counted_by_what_became_of_them(world):
    """Six writes wait for a silent Postgres: five time-outs open the circuit, the sixth comes too late; three are refused."""
    client = await world.replica(breaker=RESTING, postgres={"timeout_s": 0.4})

    def calls(seen):
        return [
            seen[f"reference_breaker_calls_total{sorted(['postgres', each])}"]
            for each in ("admitted", "rejected", "stale")
        ]

    await client.get("/items/54")
    before = calls(await series_of(client))
    world.postgres.silence()
    await asyncio.gather(*(put(client, 54, "no") for _ in range(6)))
    assert calls(await series_of(client)) == [before[0] + 6, 0, 1]

    for _ in range(3):
        await put(client, 54, "no")
    assert (before, calls(await series_of(client))) == ([1, 0, 0], [7, 3, 1])


async def test_what_a_breaker_remembers_is_told_until_it_has_forgotten_it(world):
    """Four failures are four of its window; the fifth opens the circuit, which forgets all of it when it closes."""
    client = await world.replica()

    async def is_at(failures: int, trips: int) -> bool:
        seen = await series_of(client)
        told = [seen[f"reference_breaker_{what}['postgres']"] for what in ("recent_failures", "trips")]
        return told == [failures, trips]

    await world.postgres.cut()
    for _ in range(4):
        await put(client, 55, "no")
    assert await is_at(4, 0)
    await put(client, 55, "no")
    assert await is_at(5, 1)
    await world.postgres.mend()

    async def is_closed_by_a_write() -> bool:
        await put(client, 55, "yes")
        return await is_at(0, 0)

    await until(is_closed_by_a_write)


async def test_connections_of_the_pool_are_told_by_what_they_do(world):
    """A write that waits for a silent Postgres has one; one that has ended has none, and all are kept."""
    client = await world.replica(pool={"max_connections": 3, "min_idle": 3}, postgres={"timeout_s": 5.0})

    async def is_at(**counts: int) -> bool:
        seen = await series_of(client)
        return all(seen[f"reference_pool_connections['{state}']"] == count for state, count in counts.items())

    await until(lambda: is_at(in_use=0, idle=3, opening=0, checking=0, closing=0))
    world.postgres.silence()
    waiting = asyncio.create_task(put(client, 56, "late"))
    await until(lambda: is_at(in_use=1, idle=2))

    await world.postgres.mend()
    await waiting

    await until(lambda: is_at(in_use=0, opening=0))
