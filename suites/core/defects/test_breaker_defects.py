"""Each seeded defect of the breakers against the healthy one: the same check, once red and once green."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from random import Random

import pytest

from fixtures.defects import installed
from fixtures.reference.core.breaker import BreakerPolicy, CircuitOpen, State
from fixtures.reference.parts import Design
from harness.clock import FakeClock


def breaker_of(defect: str, clock: FakeClock):
    """The breaker of a service with a defect: five failures open it for ten seconds, three probes close it."""
    policy = BreakerPolicy(failures=5, recovery_s=10, jitter_ratio=0, probes=3, probe_max_s=30)
    return installed(defect, Design()).breaker("redis", policy, clock=clock, random=Random(1))


def fail(breaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.failed(breaker.admit())


async def go_away(breaker) -> None:
    """Make a call that is cancelled while it is under way."""
    inside = asyncio.Event()

    async def asked() -> None:
        inside.set()
        await asyncio.Event().wait()

    call = asyncio.create_task(breaker.call(asked, failures=(OSError,)))
    await asyncio.wait([call, asyncio.create_task(inside.wait())], return_when=asyncio.FIRST_COMPLETED)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


def admitted(breaker, times: int) -> int:
    """Ask for so many permits at once; return how many there were."""
    count = 0
    for _ in range(times):
        with suppress(CircuitOpen):
            breaker.admit()
            count += 1
    return count


@pytest.mark.parametrize(("defect", "opens"), [("", True), ("breaker-never-opens", False)])
def test_breaker_opens_unless_it_never_does(defect, opens):
    """A hundred failures in a row open the healthy breaker; the defective one counts them and stays closed."""
    breaker = installed(defect, Design()).breaker("redis", BreakerPolicy(), clock=FakeClock(), random=Random(1))

    permits = [breaker.admit() for _ in range(100)]
    for permit in permits:
        breaker.failed(permit)

    assert (breaker.state is State.OPEN) == opens
    if not opens:
        assert breaker.recent() == (100, 100)


@pytest.mark.parametrize(("defect", "state"), [("", State.CLOSED), ("breaker-blames-cancelled", State.OPEN)])
async def test_callers_who_go_away_open_nothing_unless_they_are_blamed(defect, state):
    """Ten of them say nothing of the dependency."""
    breaker = breaker_of(defect, FakeClock())

    for _ in range(10):
        await go_away(breaker)

    assert breaker.state is state


@pytest.mark.parametrize(("defect", "state"), [("", State.HALF_OPEN), ("breaker-trusts-cancelled", State.CLOSED)])
async def test_cancelled_probes_close_nothing_unless_they_are_trusted(defect, state):
    """Whether the dependency is back is not known from them."""
    clock = FakeClock()
    breaker = breaker_of(defect, clock)
    fail(breaker, 5)
    clock.advance(10)

    for _ in range(3):
        await go_away(breaker)

    assert breaker.state is state


@pytest.mark.parametrize(("defect", "state"), [("", State.OPEN), ("breaker-counts-in-a-row", State.CLOSED)])
def test_breaker_opens_where_half_of_the_calls_fail_unless_it_counts_in_a_row(defect, state):
    """Fail, succeed, fail, succeed is an outage of every second call."""
    breaker = breaker_of(defect, FakeClock())

    for _ in range(20):
        with suppress(CircuitOpen):
            fail(breaker)
            breaker.succeeded(breaker.admit())

    assert breaker.state is state


@pytest.mark.parametrize(("defect", "count"), [("", 3), ("breaker-lets-all-in", 50)])
def test_breaker_lets_three_probes_in_unless_it_lets_all(defect, count):
    """Fifty callers ask in the moment that the rest is over."""
    clock = FakeClock()
    breaker = breaker_of(defect, clock)
    fail(breaker, 5)
    clock.advance(10)

    assert admitted(breaker, 50) == count


@pytest.mark.parametrize(("defect", "count"), [("", 3), ("breaker-waits-for-a-hung-probe", 0)])
def test_breaker_gives_up_on_hung_probes_unless_it_waits_for_them(defect, count):
    """Three that never end: after their time, and the rest that follows it, three others get in."""
    clock = FakeClock()
    breaker = breaker_of(defect, clock)
    fail(breaker, 5)
    clock.advance(10)
    assert admitted(breaker, 50) == 3

    clock.advance(31)
    assert admitted(breaker, 50) == 0
    clock.advance(20)

    assert admitted(breaker, 50) == count


@pytest.mark.parametrize(("defect", "count"), [("", 3), ("breaker-wall-clock", 0)])
def test_a_rest_ends_though_the_wall_clock_is_set_back_unless_it_goes_by_it(monkeypatch, defect, count):
    """An hour back: the rest of ten seconds is over all the same."""
    clock, wall = FakeClock(), time.time
    breaker = breaker_of(defect, clock)
    fail(breaker, 5)

    monkeypatch.setattr(time, "time", lambda: wall() - 3600)
    clock.advance(10)

    assert admitted(breaker, 50) == count
