"""Outages without an error: a dependency that accepts connections, takes what is sent, and never answers."""

from __future__ import annotations

import asyncio
from statistics import median

import httpx
import pytest

from suites.support.httpserver import http_server
from suites.support.relay import Relay
from suites.support.replicas import QUICK, put, series_of, until
from suites.support.served import served

pytestmark = pytest.mark.alone  # how long an answer takes is what is held here

BUDGET_S = 0.5
SILENT = {"postgres": {"timeout_s": BUDGET_S}, "pool": {"connect_timeout_s": 0.2}}
RESTING = {"failures": 5, "recovery_s": 30.0, "recovery_max_s": 30.0}
SHORT_LIVED = {"ttl_s": 0.05, "l1_ttl_s": 0.01}
SIGN_OF_LIFE = b"*1\r\n$4\r\nPING\r\n"


async def timed(asking):
    """Return an answer's status, and the seconds that it took."""
    clock = asyncio.get_running_loop().time
    began_s = clock()
    answer = await asking
    return answer.status_code, clock() - began_s


async def test_silent_postgres_costs_a_request_its_budget_once(world):
    """Five cold reads at once are 503 within the budget, the circuit opens, and what was held is served as stale."""
    client = await world.replica(**SILENT, breaker=RESTING, cache=SHORT_LIVED)
    await client.get("/items/31")

    world.postgres.silence()
    seen = await asyncio.gather(*(timed(client.get(f"/items/{item}")) for item in range(1900, 1905)))
    assert {status for status, _ in seen} == {503}
    assert BUDGET_S * 0.9 <= max(took_s for _, took_s in seen) < BUDGET_S * 1.8

    refused = await put(client, 31, "no")
    assert (refused.status_code, refused.json()["retry_after_s"] > 25) == (503, True)
    assert (await series_of(client))["reference_breaker_state['open', 'postgres']"] == 1

    async def is_stale() -> bool:
        answer = await client.get("/items/31")
        return (answer.status_code, answer.headers["x-cache"]) == (200, "stale")

    await until(is_stale, within_s=2.0)


async def test_silent_postgres_is_used_again_when_it_speaks(world):
    """No connection that was silent is left in the way: writes succeed soon after, without a restart."""
    client = await world.replica(**SILENT)
    world.postgres.silence()
    assert {answer.status_code for answer in await asyncio.gather(*(put(client, 32, "no") for _ in range(12)))} == {503}

    await world.postgres.mend()

    async def is_written() -> bool:
        return (await put(client, 32, "yes")).status_code == 200

    await until(is_written, within_s=5.0)


async def test_replica_that_starts_before_a_silent_postgres_waits_for_it(world):
    """It lives, says that it is starting, answers cold reads with 503, and is ready when Postgres speaks."""
    world.postgres.silence()
    _, client = await world.started(**SILENT)

    assert (await client.get("/health/live")).status_code == 200
    assert (await client.get("/health/ready")).status_code == 503
    status, took_s = await timed(client.get("/items/33"))
    assert (status, took_s < BUDGET_S * 1.8) == (503, True)

    await world.postgres.mend()

    async def is_ready() -> bool:
        return (await client.get("/health/ready")).status_code == 200

    await until(is_ready)


async def test_liveness_asks_no_dependency(world):
    """With both of them silent it answers long before a look at either would end, and nothing has gone to them for it.

    What may have gone is the one sign of life that the bus asks for when it hears nothing.
    """
    client = await world.replica()
    world.redis.silence()
    world.postgres.silence()
    asked_bytes = world.redis.asked_bytes + world.postgres.asked_bytes

    seen = [await timed(client.get("/health/live")) for _ in range(50)]

    assert {status for status, _ in seen} == {200}
    assert max(took_s for _, took_s in seen) < QUICK["health_timeout_s"] / 2
    assert world.redis.asked_bytes + world.postgres.asked_bytes <= asked_bytes + len(SIGN_OF_LIFE)


async def test_liveness_takes_less_than_ten_milliseconds(servers, tmp_path):
    """The median of many, on a replica that is a process, beside a server that does nothing, asked in turn.

    What the machine itself takes at that moment is measured at the same moment, so that it is not the replica's. Frozen
    dependencies change nothing: with both of them silent it is the same again.
    """
    async with (
        Relay(servers[0]) as redis,
        Relay(servers[1]) as postgres,
        served(tmp_path, redis.port, postgres.port) as live,
    ):
        with http_server("fast") as nothing:
            async with httpx.AsyncClient(base_url=nothing.base_url, trust_env=False) as control:
                calm = await side_by_side(live.client, control)
                redis.silence()
                postgres.silence()
                frozen = await side_by_side(live.client, control)

    for live_s, control_s in (calm, frozen):
        assert live_s - control_s < 0.010, (calm, frozen)


async def side_by_side(live, control, times=150):
    """Return the median seconds of a look at a replica's liveness, and of one at a server that does nothing."""
    clock = asyncio.get_running_loop().time
    took_s = {"live": [], "control": []}
    for _ in range(times):
        for name, client, path in (("live", live, "/health/live"), ("control", control, "/")):
            began_s = clock()
            assert (await client.get(path)).status_code == 200
            took_s[name].append(clock() - began_s)
    return median(took_s["live"]), median(took_s["control"])


@pytest.mark.parametrize("silent", ["redis", "postgres"])
async def test_readiness_looks_for_no_longer_than_it_may(world, silent):
    """A silent dependency is down after the settings' time, whatever its own budget is; it is degraded, and ready."""
    client = await world.replica(health_timeout_s=0.2)
    getattr(world, silent).silence()

    status, took_s = await timed(client.get("/health/ready"))
    answer = await client.get("/health/ready")

    assert (status, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["dependencies"] == {"redis": "up", "postgres": "up", silent: "down"}
    assert 0.2 <= took_s < 1.5
