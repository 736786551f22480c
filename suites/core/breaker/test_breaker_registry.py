"""All circuits of a process, and what an endpoint may show of them."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from random import Random

import pytest

from fixtures.reference.core.breaker import Breaker, BreakerPolicy, CircuitOpen, Registry, Standing, summary
from harness.clock import FakeClock

CLOCK = FakeClock()


def breaker(name: str, clock: FakeClock = CLOCK) -> Breaker:
    return Breaker(name, BreakerPolicy(failures=1, recovery_s=10, jitter_ratio=0.0), clock=clock, random=Random(1))


def fail(one: Breaker) -> None:
    one.failed(one.admit())


def test_registry_gives_each_circuit_by_name_and_all_in_their_order():
    """What was added is what is found."""
    redis, postgres = breaker("redis"), breaker("postgres")
    registry = Registry(redis)

    assert registry.add(postgres) is postgres

    assert registry["postgres"] is postgres
    assert list(registry) == [redis, postgres]
    assert len(registry) == 2


def test_registry_refuses_a_second_circuit_of_one_name():
    """Two breakers of one dependency would each count half of its failures."""
    first = breaker("redis")
    registry = Registry(first)

    with pytest.raises(ValueError, match="a breaker called 'redis' already"):
        registry.add(breaker("redis"))

    assert list(registry) == [first]


def test_registry_names_what_there_is_when_asked_for_what_there_is_not():
    """A misspelt name is mended at once."""
    with pytest.raises(KeyError, match="'rediss'; there are: redis, postgres"):
        Registry(breaker("redis"), breaker("postgres"))["rediss"]
    with pytest.raises(KeyError, match="there are: none"):
        Registry()["redis"]


def test_standing_tells_everything_that_happened():
    """Each number is one that this story must have, and no other number of it is the same."""
    clock = FakeClock(50.0)
    policy = BreakerPolicy(failures=2, recovery_s=10, jitter_ratio=0.0, probes=5, successes=4, slow_call_s=1)
    one = Breaker("redis", policy, clock=clock, random=Random(1), on_transition=lambda *_: 1 / 0)

    def slow() -> None:
        clock.advance(2)

    def failing() -> None:
        raise OSError

    late = [one.admit() for _ in range(6)]
    for _ in range(8):
        one.succeeded(one.admit())
    one.call_sync(slow, failures=(OSError,))
    for _ in range(9):
        one.released(one.admit())
    one.call_sync(failing, failures=(OSError,), fallback=lambda _: None)  # the second failure: it opens
    for _ in range(12):
        with pytest.raises(CircuitOpen):
            one.admit()
    for permit in late:
        one.succeeded(permit)
    clock.advance(10)
    one.failed(one.admit())  # the first probe fails: the second trip
    clock.advance(3)

    assert one.standing() == Standing(
        name="redis",
        state="open",
        is_forced=False,
        in_state_s=3,
        retry_after_s=17,
        trips=2,
        openings=2,
        recent_failures=2,
        recent_calls=10,
        admitted=6 + 8 + 1 + 9 + 1 + 1,
        rejected=12,
        successes=8,
        failures=3,
        slow=1,
        neutral=9,
        stale=6,
        fallbacks=1,
        listener_failures=3,
    )


def test_summary_of_a_healthy_service():
    """Nothing is open, and it says so in one word."""
    shown = Registry(breaker("redis"), breaker("postgres")).summary()

    assert shown["status"] == "healthy"
    assert (shown["total"], shown["closed"], shown["open"], shown["half_open"]) == (2, 2, 0, 0)
    assert shown["not_closed"] == shown["forced"] == []
    assert list(shown["breakers"]) == ["postgres", "redis"]


def test_summary_adds_up_and_names_what_is_not_closed():
    """One closed, one open, one probed, one held open by hand: counts, names and sums of all four."""
    clock = FakeClock()
    well, opened, probed, held = (breaker(name, clock) for name in ("well", "opened", "probed", "held"))
    well.succeeded(well.admit())
    fail(probed)
    clock.advance(10)
    probed.admit()
    fail(opened)
    held.force_open()
    for one in (opened, opened, held):
        with pytest.raises(CircuitOpen):
            one.admit()
    clock.advance(0.12345)

    shown = Registry(well, opened, probed, held).summary()

    assert shown["status"] == "degraded"
    assert (shown["total"], shown["closed"], shown["open"], shown["half_open"]) == (4, 1, 2, 1)
    assert shown["not_closed"] == ["held", "opened", "probed"]
    assert shown["forced"] == ["held"]
    assert shown["calls"] == {"admitted": 4, "rejected": 3, "failures": 2}
    assert shown["breakers"]["opened"]["retry_after_s"] == 9.877
    assert shown["breakers"]["opened"]["in_state_s"] == 0.123
    assert shown["breakers"].keys() == {"well", "opened", "probed", "held"}


def test_summary_tells_recovering_from_degraded():
    """While the only circuit that is not closed is being probed, the service is on its way back."""
    clock = FakeClock()
    probed = breaker("redis", clock)
    fail(probed)
    assert summary([probed.standing()])["status"] == "degraded"

    clock.advance(10)
    probed.admit()

    assert summary([probed.standing()])["status"] == "recovering"


def test_summary_is_json_and_shows_every_field():
    """What is held by hand too, whose time to rest has no end."""
    held = breaker("redis")
    held.force_open()

    shown = summary([held.standing()])

    assert json.loads(json.dumps(shown, allow_nan=False)) == shown
    assert shown["breakers"]["redis"].keys() == {field.name for field in fields(Standing)} - {"name"}
    assert {**shown["breakers"]["redis"], "name": "redis"} == asdict(held.standing())
