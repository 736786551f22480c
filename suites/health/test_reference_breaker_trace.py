"""The invariant `breaker-trace` on what real replicas tell: the service keeps it, and each defect of a breaker breaks it."""

from __future__ import annotations

import asyncio

import pytest

from fixtures.defects import installed
from fixtures.reference.parts import Design
from harness.history.circuits import CircuitReport
from harness.history.history import History
from harness.measure.invariants.breaker_trace import breaker_trace
from harness.spec.invariant import BreakerTrace
from harness.stack.circuits import circuits_in
from suites.support.replicas import put, until

QUICK = {"recovery_s": 0.2, "recovery_max_s": 0.4}
RULE = BreakerTrace(kind="breaker-trace", rest="200ms", longest="400ms", jitter="10%", probes=3, of=("postgres",))
MANY = 20
LOOKED_AT_S = 1000.0


async def outages(world, client):
    """Let Postgres be away until it was found down twice by many at once, come back, and be away again."""

    async def rest_is_over() -> bool:
        shown = (await client.get("/health/circuit-breakers")).json()["breakers"]["postgres"]
        return shown["retry_after_s"] == 0

    async def ask(times: int) -> None:
        await asyncio.gather(*(put(client, 600 + each, "tried") for each in range(times)))

    await world.postgres.cut()
    for _ in range(3):
        await ask(MANY)
        await until(rest_is_over)
    await world.postgres.mend()
    await ask(MANY)
    await ask(MANY)
    await world.postgres.cut()
    await ask(MANY)


async def found(world, design):
    client = await world.replica(design=design, breaker=QUICK)
    await outages(world, client)
    answer = await client.get("/health/circuit-breakers/trace")
    report = CircuitReport(replica="replica-1", asked_s=LOOKED_AT_S, circuits=circuits_in(answer.content, LOOKED_AT_S))
    return breaker_trace(RULE, History(run_id="r", began_at="", seed=1, backend="embedded", circuits=(report,)))


async def test_the_service_goes_the_way_of_a_breaker(world):
    """Opened, found down twice, found up, opened again."""
    seen = await found(world, Design())

    assert (seen.broken, seen.first) == (0, None)
    assert seen.checked >= 8


@pytest.mark.parametrize(
    ("defect", "said"),
    [
        ("breaker-rests-no-longer", "(opening 2 in a row) and chose to rest for 0."),
        ("breaker-holds-a-grudge", "0.180 s to 0.220 s are allowed"),
        ("breaker-lets-all-in", "let 20 calls through, and 3 are allowed"),
        ("breaker-looks-before-it-acts", "calls through, and 3 are allowed"),
    ],
)
async def test_a_breaker_with_a_defect_does_not(world, defect, said):
    """And the sentence says what is wrong with it."""
    seen = await found(world, installed(defect, Design()))

    assert seen.broken >= 1
    assert said in seen.first.sentence


async def test_of_a_breaker_that_never_opens_nothing_is_known(world):
    """What it does not do, `sometimes` asks for."""
    seen = await found(world, installed("breaker-never-opens", Design()))

    assert (seen.checked, seen.first) == (0, None)
    assert "no breaker left its state" in seen.wanted
