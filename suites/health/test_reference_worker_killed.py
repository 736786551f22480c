"""The service's worker gets SIGKILL: no task is lost, and no item is written twice (K1, D1).

The process is the one that runs in production, before a real Redis and a real Postgres. A moment is a number of items
that have been written and a delay after them. Three of them by default; `nox -s kills` takes 20 (READINESS_KILLS).
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest

from suites.support.core.pools import postgres_options
from suites.support.dice import dice_of
from suites.support.replicas import put, until
from suites.support.servers import PROJECT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx

    from suites.support.replicas import World

DICE = dice_of(20261130)
DRAWN = [(DICE.randint(1, 4), round(DICE.uniform(0.0, 0.02), 4)) for _ in range(20)]
MOMENTS = DRAWN if "READINESS_KILLS" in os.environ else DRAWN[:3]
ITEMS_EACH = 3
QUICK = {
    "worker_lease_s": 0.5,
    "worker_backoff_s": 0.05,
    "worker_backoff_max_s": 0.1,
    "worker_max_attempts": 100,
    "worker_concurrency": 2,
    "redis_timeout_s": 5,
    "postgres_timeout_s": 30,
}
PATIENCE_S = 120.0


@asynccontextmanager
async def working(world: World, log: Path, **variables: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the worker as it runs in production; it gets SIGKILL in the end, if it still runs."""
    told = {"redis_port": world.redis.port, "postgres_port": world.postgres.port, **QUICK, **variables}
    environment = {**os.environ, **{f"REFERENCE_{name.upper()}": str(value) for name, value in told.items()}}
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fixtures.reference.work", cwd=PROJECT, env=environment, stderr=stderr
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class Items:
    """The items of one tenant, as Postgres has them, and a way to keep all others from them."""

    def __init__(self, session: asyncpg.Connection, watching: asyncpg.Connection) -> None:
        self.tenant = secrets.token_hex(4)
        self._session, self._watching = session, watching

    async def held(self) -> dict[int, tuple[str, int]]:
        """Return value and version of each."""
        rows = await self._watching.fetch("SELECT id, value, version FROM items WHERE tenant = $1", self.tenant)
        return {row["id"]: (row["value"], row["version"]) for row in rows}

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Keep all others from writing any."""
        async with self._session.transaction():
            await self._session.execute("LOCK TABLE items IN EXCLUSIVE MODE")
            yield

    async def is_waited_for(self) -> bool:
        """Tell whether a write waits for them."""
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INSERT INTO items%'"
        )
        return await self._watching.fetchval(waiting) > 0


@pytest.fixture
async def items(servers):
    """Of a tenant that no other test knows."""
    sessions = [await asyncpg.connect(**postgres_options(servers[1], name)) for name in ("locking", "watching")]
    yield Items(*sessions)
    for session in sessions:
        await session.close()


async def submitted(client: httpx.AsyncClient, items: Items, *numbers: int) -> str:
    """Hand in a task that writes these; return the place where its state is told."""
    told = {"kind": "import", "items": [{"item": number, "value": f"imported {number}"} for number in numbers]}
    answer = await client.post("/tasks", json=told, headers={"x-tenant": items.tenant})
    assert answer.status_code == 202
    return answer.headers["location"]


async def states(client: httpx.AsyncClient, places: list[str]) -> set[str]:
    """Return what the tasks are, as their clients are told; unknown while Redis cannot say."""
    answers = [await client.get(place) for place in places]
    assert {answer.status_code for answer in answers} <= {200, 503}, "a task is lost"
    return {answer.json().get("state", "unknown") for answer in answers}


async def test_worker_killed_between_a_commit_and_its_checkpoint_writes_nothing_twice(world, items, tmp_path):
    """Redis falls silent while the write waits in Postgres, so that nothing says that it is done; a client writes after it (K1)."""
    client = await world.replica()
    place = await submitted(client, items, 1)
    async with working(world, tmp_path / "log"):
        async with items.locked():
            await until(items.is_waited_for, within_s=PATIENCE_S)
            world.redis.silence()

        async def is_written() -> bool:
            return await items.held() == {1: ("imported 1", 1)}

        await until(is_written, within_s=PATIENCE_S)
    await world.redis.cut()
    await world.redis.mend()
    assert (await put(client, 1, "mine", **{"x-tenant": items.tenant})).json()["version"] == 2

    async with working(world, tmp_path / "log"):

        async def is_done() -> bool:
            return await states(client, [place]) == {"done"}

        await until(is_done, within_s=PATIENCE_S)

    assert await items.held() == {1: ("mine", 2)}
    assert (await client.get(place)).json()["attempts"] == 2


async def test_worker_killed_at_any_moment_loses_no_task_and_writes_no_item_twice(world, items, tmp_path):
    """Every task ends as done, every item has its value, and its first version (K1, D1)."""
    client = await world.replica(limiter={"rate_per_s": 1e6, "burst": 1e6})
    need = sum(count for count, _ in MOMENTS) // ITEMS_EACH + 2 * len(MOMENTS)
    numbers = [range(ITEMS_EACH * task, ITEMS_EACH * (task + 1)) for task in range(need)]
    places = [await submitted(client, items, *each) for each in numbers]

    for count, delay_s in MOMENTS:
        target = len(await items.held()) + count
        async with working(world, tmp_path / "log") as process:

            async def is_reached(target=target) -> bool:
                return len(await items.held()) >= target

            await until(is_reached, within_s=PATIENCE_S)
            await asyncio.sleep(delay_s)
            process.kill()
            await process.wait()
        assert await states(client, places) <= {"queued", "running", "resting", "done"}

    async with working(world, tmp_path / "log") as process:

        async def are_done() -> bool:
            return await states(client, places) == {"done"}

        await until(are_done, within_s=PATIENCE_S)
        process.terminate()
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0

    assert await items.held() == {number: (f"imported {number}", 1) for each in numbers for number in each}
    assert (await client.get("/health/dlq")).json()["entries"] == 0
    attempts = [(await client.get(place)).json()["attempts"] for place in places]
    assert max(attempts) > 1, "no task was in the hands of a worker that was killed"
