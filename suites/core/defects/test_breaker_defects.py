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


def failed(breaker, times: int) -> int:
    """Ask a dependency that is down so often; return how often it was reached."""
    count = 0
    for _ in range(times):
        with suppress(CircuitOpen):
            fail(breaker)
            count += 1
    return count


async def inside(breaker, times: int) -> int:
    """Make so many calls that are not answered; return how many of them are under way together."""
    under_way = 0

    async def ask() -> None:
        nonlocal under_way
        under_way += 1
        await asyncio.Event().wait()

    calls = [asyncio.create_task(breaker.call(ask, failures=(OSError,))) for _ in range(times)]
    for _ in range(10):  # steps of each: more than one that gets in takes
        await asyncio.sleep(0)
    count = under_way
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
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


@pytest.mark.parametrize(("defect", "state"), [("", State.OPEN), ("breaker-heeds-the-late", State.CLOSED)])
def test_answers_from_before_an_outage_close_nothing_unless_they_are_heeded(defect, state):
    """Three calls began before the circuit opened, and are answered while it rests (B3)."""
    breaker = breaker_of(defect, FakeClock())
    slow = [breaker.admit() for _ in range(3)]
    fail(breaker, 5)

    for permit in slow:
        breaker.succeeded(permit)

    assert breaker.state is state


@pytest.mark.parametrize(("defect", "state"), [("", State.CLOSED), ("breaker-never-forgets", State.OPEN)])
def test_a_failure_now_and_then_opens_nothing_unless_none_is_forgotten(defect, state):
    """Ten failures, an hour apart, are no outage (B5)."""
    clock = FakeClock()
    breaker = breaker_of(defect, clock)

    for _ in range(10):
        with suppress(CircuitOpen):
            fail(breaker)
        clock.advance(3600)

    assert breaker.state is state


@pytest.mark.parametrize(("defect", "count"), [("", 5), ("breaker-counts-one-too-many", 6)])
def test_five_callers_pay_for_an_outage_unless_one_too_many_does(defect, count):
    """Twenty ask a dependency that is down: as many as were chosen reach it, and the others are spared (B2, B5)."""
    breaker = breaker_of(defect, FakeClock())

    assert failed(breaker, 20) == count


@pytest.mark.parametrize(("defect", "count"), [("", 5), ("breaker-rests-no-longer", 60)])
def test_what_stays_down_is_asked_ever_more_rarely_unless_rests_grow_no_longer(defect, count):
    """Once a second for ten minutes: it is tried after 10, 30, 70, 150 and 310 of them (B6)."""
    clock = FakeClock()
    breaker = breaker_of(defect, clock)
    fail(breaker, 5)

    tried = 0
    for _ in range(600):
        clock.advance(1)
        tried += failed(breaker, 1)

    assert tried == count


@pytest.mark.parametrize(("defect", "rest_s"), [("", 10), ("breaker-holds-a-grudge", 80)])
def test_the_first_rest_of_an_outage_is_short_unless_those_before_it_count(defect, rest_s):
    """Three outages are over, each ended by good answers, when the fourth begins (B6)."""
    clock = FakeClock()
    breaker = breaker_of(defect, clock)
    for _ in range(3):
        fail(breaker, 5)
        clock.advance(breaker.retry_after_s())
        for permit in [breaker.admit() for _ in range(3)]:
            breaker.succeeded(permit)
        assert breaker.state is State.CLOSED

    fail(breaker, 5)

    assert breaker.retry_after_s() == rest_s


@pytest.mark.parametrize(("defect", "count"), [("", 30), ("breaker-locks-calls", 1)])
async def test_thirty_requests_ask_at_the_same_time_unless_a_call_is_locked(defect, count):
    """None waits for another's answer (B8)."""
    assert await inside(breaker_of(defect, FakeClock()), 30) == count


@pytest.mark.parametrize(("defect", "count"), [("", 3), ("breaker-looks-before-it-acts", 50)])
async def test_three_of_those_who_waited_for_the_end_of_a_rest_get_in_unless_each_ends_it(defect, count):
    """Fifty ask in the same moment, and the dependency sees three of them (B1)."""
    clock = FakeClock()
    breaker = breaker_of(defect, clock)
    fail(breaker, 5)
    clock.advance(10)

    assert await inside(breaker, 50) == count
