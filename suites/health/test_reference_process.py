"""The reference service as a process of its own: how it starts, what it logs, and how it stops."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress

import asyncpg
import httpx
import pytest

from fixtures.reference.app import create_app
from fixtures.reference.settings import Settings
from suites.support.relay import Relay
from suites.support.replicas import put, until
from suites.support.served import served
from suites.support.servers import PROJECT, free_port

LOOKS_LONG = {"redis_timeout_s": 10, "health_timeout_s": 10}
PATIENT = {"postgres_timeout_s": 60, "request_timeout_s": 60, "shutdown_s": 60}


PHASES = ["settings", "parts", "redis", "postgres", "news"]
"""In the order in which they begin."""


def outcomes_of(replica):
    """Return what became of each phase of its start, why, and how loudly it was said."""
    return {each["phase"]: (each["outcome"], each.get("why"), each["level"]) for each in replica.events("start")}


async def value_of(postgres: int, item: int) -> str | None:
    """Ask Postgres itself for an item's value."""
    connection = await asyncpg.connect(host="127.0.0.1", port=postgres, user="postgres", database="postgres")
    try:
        return await connection.fetchval("SELECT value FROM items WHERE id = $1", item)
    finally:
        await connection.close()


async def test_replica_answers_and_stops_in_order(servers, tmp_path):
    """Started by its factory, it answers, and at SIGTERM ends its work and stops."""
    async with served(tmp_path, *servers) as replica:
        assert (await replica.client.get("/items/20")).status_code == 200
        assert (await put(replica.client, 20, "x")).headers["x-replica"] == "replica-1"

        replica.stop()
        await replica.ended()

        assert '"event": "stopped"' in replica.log()
        assert "Traceback" not in replica.log()


async def test_stop_waits_for_a_write_whose_client_has_gone(servers, tmp_path):
    """A write is under way, its client goes away, SIGTERM comes, and then Postgres answers: the write is there."""
    redis, postgres = servers
    async with (
        Relay(postgres) as relay,
        served(tmp_path, redis, relay.port, **{**PATIENT, "request_timeout_s": 0.5}) as replica,
    ):
        before = relay.asked_bytes
        relay.silence()
        writing = asyncio.create_task(put(replica.client, 21, "written in the last moment"))

        async def is_under_way() -> bool:
            return relay.asked_bytes > before

        await until(is_under_way)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        await replica.client.aclose()
        replica.stop()
        await until(replica.is_closing)
        await relay.mend()
        await replica.ended()

    assert await value_of(postgres, 21) == "written in the last moment"


async def test_stop_waits_no_longer_than_it_may(servers, tmp_path):
    """A write that never ends holds the process for the settings' time, and not for Postgres' own."""
    redis, postgres = servers
    async with (
        Relay(postgres) as relay,
        served(tmp_path, redis, relay.port, **{**PATIENT, "request_timeout_s": 0.5, "shutdown_s": 1}) as replica,
    ):
        before = relay.asked_bytes
        relay.silence()
        writing = asyncio.create_task(put(replica.client, 22, "never"))

        async def is_under_way() -> bool:
            return relay.asked_bytes > before

        await until(is_under_way)
        writing.cancel()
        await asyncio.wait([writing])
        await replica.client.aclose()
        clock = asyncio.get_running_loop().time
        began_s = clock()
        replica.stop()
        await replica.ended(within_s=10)

    assert 1 <= clock() - began_s < 8


async def test_stop_answers_the_request_under_way(servers, tmp_path):
    """A client that waits for its answer gets it, though SIGTERM came first."""
    redis, postgres = servers
    async with Relay(postgres) as relay, served(tmp_path, redis, relay.port, **PATIENT) as replica:
        before = relay.asked_bytes
        relay.silence()
        writing = asyncio.create_task(put(replica.client, 23, "answered"))

        async def is_under_way() -> bool:
            return relay.asked_bytes > before

        await until(is_under_way)
        replica.stop()

        async def is_refusing() -> bool:
            try:
                async with httpx.AsyncClient(trust_env=False) as another:
                    await another.get(f"http://127.0.0.1:{replica.port}/health/live")
            except httpx.ConnectError:
                return True
            except httpx.TransportError:  # it was taken into the queue of a server that then listened no more
                return False
            return False

        await until(is_refusing)
        await relay.mend()

        assert (await writing).status_code == 200
        await replica.ended()

    assert await value_of(postgres, 23) == "answered"


async def test_replica_that_is_told_to_stop_is_unready_first(servers, tmp_path):
    """While it drains it serves as before, says 503 to who balances the load, and asks for connections to be closed."""
    async with served(tmp_path, *servers, drain_s=1.5) as replica:
        before = await replica.client.get("/items/24")
        clock = asyncio.get_running_loop().time
        began_s = clock()
        replica.stop()

        await until(lambda: replica.is_answering("/health/ready", 503))
        ready, item = await replica.client.get("/health/ready"), await replica.client.get("/items/24")
        assert (ready.json()["status"], ready.headers["retry-after"]) == ("draining", "1")
        assert (item.status_code, item.headers["connection"]) == (200, "close")
        assert "connection" not in before.headers
        await replica.ended()
        assert clock() - began_s >= 1.5

    draining, stopped = replica.events("draining"), replica.events("stopped")
    assert [event["lasts_s"] for event in draining] == [1.5]
    assert len(stopped) == 1


async def test_second_order_to_stop_is_obeyed_at_once(servers, tmp_path):
    """A replica that drains for a minute ends in seconds when it is told again."""
    async with served(tmp_path, *servers, drain_s=60) as replica:
        replica.stop()
        await until(lambda: replica.is_answering("/health/ready", 503))
        replica.stop()

        await replica.ended(within_s=15)


async def test_start_is_logged_phase_by_phase_without_secrets(servers, tmp_path):
    """Each phase once, with its outcome and duration; each setting that holds once, and nothing of the password."""
    async with served(tmp_path, *servers, redis_timeout_s=10, postgres_password="hunter2") as replica:  # noqa: S106 - made up
        await until(replica.has_heard_the_news)
        phases = {each["phase"]: each for each in replica.events("start")}
        begun = replica.events("starting")

    assert [each["phase"] for each in begun] == PHASES
    assert len(replica.events("start")) == len(phases)
    assert set(PHASES) == phases.keys()
    assert {each["outcome"] for each in phases.values()} == {"done"}
    assert all(0 <= each["took_s"] < 60 for each in phases.values())
    assert phases["postgres"]["took_s"] > 0
    by_phase = {each["phase"]: each.get("settings", {}) for each in begun}
    told = [name for settings in by_phase.values() for name in settings]
    assert sorted(told) == sorted(Settings.model_fields)
    assert (by_phase["redis"]["redis"]["port"], by_phase["parts"]["cache"]["ttl_s"]) == (servers[0], 60.0)
    assert by_phase["postgres"]["postgres"]["password"] == "**********"  # noqa: S105 - what stands for one
    assert "hunter2" not in replica.log()


async def test_start_without_redis_says_so_and_serves(servers, tmp_path):
    """Redis failed, the news are waited for, all else is done: the replica is degraded, and answers."""
    async with served(tmp_path, free_port(), servers[1], **PATIENT, **LOOKS_LONG) as replica:
        await until(lambda: replica.has_logged("redis"))
        ready = (await replica.client.get("/health/ready")).json()
        assert (await replica.client.get("/items/26")).status_code == 200
        replica.stop()
        await replica.ended()

    assert (ready["status"], ready["dependencies"]) == ("degraded", {"redis": "down", "postgres": "up"})
    assert [each["phase"] for each in replica.events("starting")] == PHASES
    assert outcomes_of(replica) == {
        "settings": ("done", None, "info"),
        "parts": ("done", None, "info"),
        "redis": ("failed", "DependencyFailed", "error"),
        "postgres": ("done", None, "info"),
        "news": ("given up", None, "info"),
    }


async def test_start_without_postgres_says_so_and_waits(servers, tmp_path):
    """The schema is waited for, all else is done: the replica lives, is starting, and refuses what it cannot serve."""
    async with served(tmp_path, servers[0], free_port(), wait_for="/health/live", **LOOKS_LONG) as replica:
        await until(replica.has_heard_the_news)
        ready = await replica.client.get("/health/ready")
        assert (await replica.client.get("/items/27")).status_code == 503
        replica.stop()
        await replica.ended()

    assert (ready.status_code, ready.json()["status"]) == (503, "starting")
    assert ready.json()["dependencies"] == {"redis": "up", "postgres": "down"}
    assert [each["phase"] for each in replica.events("starting")] == PHASES
    assert outcomes_of(replica) == {
        "settings": ("done", None, "info"),
        "parts": ("done", None, "info"),
        "redis": ("done", None, "info"),
        "postgres": ("given up", None, "info"),
        "news": ("done", None, "info"),
    }
    given_up = next(each for each in replica.events("start") if each["phase"] == "postgres")
    assert given_up["took_s"] > 0


async def test_phase_that_fails_says_so_and_the_replica_goes_on(servers, tmp_path):
    """Without Redis, and with a Postgres that is not there yet: one has failed, two are given up at the stop."""
    async with served(tmp_path, free_port(), free_port(), wait_for="/health/live") as replica:
        await until(lambda: replica.has_logged("redis"))
        replica.stop()
        await replica.ended()

    outcomes = outcomes_of(replica)
    assert outcomes["redis"] == ("failed", "DependencyFailed", "error")
    assert outcomes["postgres"] == ("given up", None, "info")
    assert outcomes["news"] == ("given up", None, "info")


async def test_settings_that_make_no_sense_end_the_start_with_their_names(tmp_path):
    """The phase has failed, its mistake is named, and what was set is not shown."""
    mistake = {"REFERENCE_POSTGRES_PASWORD": "hunter2", "REFERENCE_CACHE_TTL_S": "0"}
    said = await said_by(*("-c", "from fixtures.reference.app import create_app; create_app()"), **mistake)

    begun, failed = (json.loads(line) for line in said.splitlines()[:2])
    assert (begun["event"], begun["phase"]) == ("starting", "settings")
    wanted = {"event": "start", "phase": "settings", "outcome": "failed", "why": "ValidationError"}
    assert {key: failed[key] for key in wanted} == wanted
    assert "cache.ttl_s" in said
    assert "postgres.pasword" in said
    assert "hunter2" not in said


async def said_by(*arguments: str, **variables: str) -> str:
    """Run Python to its end; return what it wrote to stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=PROJECT, env={**os.environ, **variables}, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        _, said = await process.communicate()
    return said.decode()


async def test_everything_that_is_logged_can_be_read_by_a_program(servers, tmp_path):
    """Each line is one JSON object with time, level, replica and event: those of the server too."""
    async with served(tmp_path, *servers, replica="blue", log_requests="true") as replica:
        await replica.client.get("/items/25")
        await replica.client.get("/nowhere")
        replica.stop()
        await replica.ended()

    events = [json.loads(line) for line in replica.log().splitlines()]
    assert all(each.keys() >= {"at", "level", "replica", "event"} for each in events)
    assert {each["replica"] for each in events if each["event"] in {"request", "started", "stopped"}} == {"blue"}
    assert [each["route"] for each in replica.events("request")][-2:] == ["/items/{item}", "unmatched"]


async def test_stop_ends_a_task_that_swallows_a_cancellation(monkeypatch):
    """A library that loses one, as `asyncio.wait_for` did before Python 3.12, does not hold the stop for ever."""
    ended = asyncio.Event()

    async def losing_one() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    app = create_app(Settings(redis={"port": free_port()}, postgres={"port": free_port()}))
    monkeypatch.setattr(app.state.parts.bus, "listen_forever", losing_one)
    async with asyncio.timeout(5):
        async with app.router.lifespan_context(app):
            await asyncio.sleep(0)

    assert ended.is_set()
