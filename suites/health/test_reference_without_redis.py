"""What an answer costs without Redis: a replica whose Redis was killed, or stands still, beside one whose Redis runs (L8, C9)."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from harness.stack.components import COMPONENTS
from harness.testing import started
from suites.support.dice import dice_of
from suites.support.replicas import put, until
from suites.support.served import served
from suites.support.servers import start_postgres

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from harness.stack.backends.process import LocalProcess
    from suites.support.served import Served

pytestmark = pytest.mark.alone  # how long an answer takes is what is held here

PAIRS = 600
PAUSE_S = 0.005
ADDED_S = 0.05
RANK = 0.99

OP_TIMEOUT_S = 0.25
"""Of one call of Redis, where it stands still: longer than what a busy machine adds to an answer."""
RECOVERY_S = 0.4


@dataclass
class Beside:
    """Two replicas before one Postgres, each with a Redis of its own; and how long each answer took, seconds."""

    well: Served
    ill: Served
    redis: LocalProcess
    took_s: dict[str, list[float]] = field(default_factory=lambda: {"well": [], "ill": []})

    async def ask(self, pairs: int, dice_number: int) -> None:
        """Ask both the same, at the same time, one pair after the other."""
        dice = dice_of(dice_number)
        for number in range(pairs):
            ask = _asking(dice.choice(["read", "read", "read", "cold", "write"]), dice.randrange(100), number)
            await asyncio.gather(*(self._timed(name, ask) for name in ("well", "ill")))
            await asyncio.sleep(PAUSE_S)  # so that time goes by for what recovers, signs and pays beside them

    async def _timed(self, name: str, ask: Callable[[httpx.AsyncClient], object]) -> None:
        replica: Served = getattr(self, name)
        clock = asyncio.get_running_loop().time
        began_s = clock()
        answer = await ask(replica.client)
        self.took_s[name].append(clock() - began_s)
        assert answer.status_code in {200, 404}

    def at_rank(self, name: str) -> float:
        """Return what all but one in a hundred of the answers took at most."""
        took_s = sorted(self.took_s[name])
        return took_s[int(RANK * len(took_s))]


def _asking(what: str, item: int, number: int):
    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        if what == "write":
            return await put(client, item, f"{number}")
        return await client.get(f"/items/{item if what == 'read' else 10_000 + number}")

    return ask


@pytest.fixture
async def beside(tmp_path, request):
    """Both replicas, ready, and warm."""
    with ExitStack() as servers:
        redises = [servers.enter_context(started(COMPONENTS["redis"], name=name)) for name in ("well", "ill")]
        postgres = servers.enter_context(start_postgres())
        async with AsyncExitStack() as stack:
            replicas = []
            for redis in redises:
                folder = tmp_path / redis.name
                folder.mkdir()
                running = served(folder, redis.direct.port, postgres, replicas=1, **getattr(request, "param", {}))
                replicas.append(await stack.enter_async_context(running))
            for replica in replicas:
                await until(replica.has_heard_the_news)
            yield Beside(*replicas, redises[1])


async def test_dead_redis_adds_at_most_fifty_milliseconds_to_an_answer(beside):
    """At p99, over reads, cold reads and writes, from the moment on when it is killed, with the settings' defaults (L8, C9)."""
    await beside.ask(20, 41)
    beside.redis.kill()
    for took_s in beside.took_s.values():
        took_s.clear()

    await beside.ask(PAIRS, 42)

    well_s, ill_s = beside.at_rank("well"), beside.at_rank("ill")
    print(f"p99 of {PAIRS} answers: {well_s * 1e3:.1f} ms with Redis, {ill_s * 1e3:.1f} ms without")  # noqa: T201 - pytest -s shows it
    assert ill_s <= well_s + ADDED_S
    assert [(each["breaker"], each["new"]) for each in beside.ill.events("breaker")][:1] == [("redis", "open")]


@pytest.mark.parametrize(
    "beside",
    [
        {
            "redis_timeout_s": OP_TIMEOUT_S,
            "breaker_failures": 1,
            "breaker_min_failure_rate": 0,
            "breaker_recovery_s": RECOVERY_S,
            "breaker_recovery_max_s": RECOVERY_S,
            "breaker_probes": 1,
        }
    ],
    indirect=True,
)
async def test_frozen_redis_costs_one_time_out_for_each_recovery(beside):
    """It accepts and never answers: one answer waits for it when it freezes, and one for each time that it is tried again (L8, C9)."""
    await beside.ask(20, 43)
    beside.redis.pause()
    try:
        for took_s in beside.took_s.values():
            took_s.clear()
        await beside.ask(300, 44)
        tried = [each for each in beside.ill.events("breaker") if each["new"] == "half_open"]
    finally:
        beside.redis.resume()

    well_s = max(beside.took_s["well"])
    waited_s = [took_s for took_s in beside.took_s["ill"] if took_s >= OP_TIMEOUT_S]
    print(f"{len(waited_s)} of 300 waited, {len(tried)} recoveries, {max(waited_s):.3f} s at most")  # noqa: T201 - pytest shows it with -s
    assert 1 <= len(waited_s) <= 1 + len(tried)
    assert len(tried) >= 2
    assert max(beside.took_s["ill"]) <= OP_TIMEOUT_S + well_s + 0.1
