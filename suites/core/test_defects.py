"""Each seeded defect against the healthy core: the same check, once red and once green."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from fixtures import defects
from fixtures.defects import DEFECTS, installed
from fixtures.defects import app as wrapper
from fixtures.defects.proof import escape
from fixtures.reference import app as product
from fixtures.reference.clock import MonotonicClock
from fixtures.reference.core.breaker import BreakerPolicy, CircuitOpen, State, Unavailable
from fixtures.reference.core.cache import CachePolicy, Document, Slot
from fixtures.reference.core.redis_link import Script
from fixtures.reference.parts import Design
from harness.clock import FakeClock
from harness.evidence.documents import run_text
from harness.plan import planned, read_source
from harness.spec.invariant import word_of
from harness.spec.parser import read_settings
from harness.stack.blueprint import Blueprint
from harness.verdict.judge import judge
from suites.support import histories
from suites.support.servers import PROJECT


def design_of(app):
    """Tell which class plays which part in an application."""
    parts = app.state.parts
    (breaker,) = {type(each) for each in parts.breakers}
    return Design(
        breaker=breaker,
        link=type(parts.link),
        memory=type(parts.memory),
        shared=type(parts.shared),
        store=type(parts.store),
    )


ECHO = Script("return ARGV[1]")


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


@pytest.mark.parametrize(("defect", "gives_up"), [("", True), ("redis-no-timeout", False)])
async def test_link_gives_up_on_a_frozen_redis_unless_it_has_no_timeout(linked, defect, gives_up):
    """The healthy link gives up after its budget of 50 ms; the defective one still waits after six of them."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        link = linked(port=frozen.getsockname()[1], op_timeout_s=0.05, kind=installed(defect, Design()).link)
        call = asyncio.create_task(link.run(ECHO, [], ["x"]))

        done, _ = await asyncio.wait([call], timeout=0.3)
        call.cancel()
        results = await asyncio.gather(call, return_exceptions=True)

    assert bool(done) == gives_up
    assert isinstance(results[0], Unavailable) == gives_up
    assert link.breaker.recent() == ((1, 1) if gives_up else (0, 0))


@pytest.mark.parametrize(("defect", "stores"), [("", True), ("cache-never-stores", False)])
async def test_cache_levels_store_unless_they_never_do(linked, defect, stores):
    """What is put into either healthy level is found there; the defective ones are empty for ever."""
    design = installed(defect, Design())
    memory, shared = design.memory(100_000), design.shared(linked(), CachePolicy(), clock=MonotonicClock())
    key = f"stored-{stores}"

    memory.put(key, Slot(Document(1, b"x"), 1, 1))
    await shared.fill(key, Document(1, b"x"), ttl_s=60, as_of_us=await shared.look_at_the_time())
    filled = await shared.get(key)
    await shared.supersede(key, Document(2, b"y"), ttl_s=60, as_of_us=await shared.look_at_the_time())
    superseded = await shared.get(key)

    assert [memory.get(key) is not None, filled is not None, superseded is not None] == [stores] * 3


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


@pytest.mark.parametrize(("defect", "is_within"), [("", True), ("memory-counts-entries", False)])
def test_memory_stays_within_its_bytes_unless_it_counts_entries(defect, is_within):
    """A hundred documents of eight kilobytes in a hundred kilobytes."""
    memory = installed(defect, Design()).memory(100_000)

    for number in range(100):
        memory.put(str(number), Slot(Document(1, bytes(8000)), 1, 1))

    assert (memory.used_bytes <= 100_000) == is_within
    assert memory.used_bytes > 50_000


def test_no_defect_leaves_the_design_as_it_is():
    """Without a defect the service is made of the core's own classes."""
    assert installed("", Design()) == Design()


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_only_the_wrapper_can_be_told_to_break(monkeypatch, defect):
    """What is deployed stays healthy whatever a variable says; what a run with --defect serves has the defect in it."""
    monkeypatch.setenv("REFERENCE_DEFECT", defect)

    assert design_of(product.create_app()) == Design()
    assert design_of(wrapper.create_app()) == installed(defect, Design())


@pytest.mark.parametrize(("named", "said"), [(None, "names no defect"), ("", "names no defect"), ("x", "known: ")])
def test_the_wrapper_never_serves_a_healthy_service(monkeypatch, named, said):
    """The gate would pass it, and the defect would look like one that the gate cannot see."""
    monkeypatch.delenv("REFERENCE_DEFECT", raising=False)
    if named is not None:
        monkeypatch.setenv("REFERENCE_DEFECT", named)

    with pytest.raises(ValueError, match=said):
        wrapper.create_app()


def test_a_run_serves_the_product_and_with_a_defect_its_wrapper():
    """As readiness.toml names both; a system without a wrapper is told by its environment alone."""
    system = read_settings(PROJECT / "readiness.toml").system
    alone = system.model_copy(update={"subject": system.subject.model_copy(update={"defect_app": None})})
    defect = "redis-no-timeout"

    assert Blueprint(system=system, seed=1).subject.app == "fixtures.reference.app:create_app"
    assert Blueprint(system=system, seed=1, defect=defect).subject.app == "fixtures.defects.app:create_app"
    assert Blueprint(system=alone, seed=1, defect=defect).subject.app == "fixtures.reference.app:create_app"


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_each_defect_changes_the_design_and_says_what_it_breaks(defect):
    """Every row of the table names a module that changes something, and what is expected to notice."""
    row = DEFECTS[defect]

    assert installed(defect, Design()) != Design()
    assert row.module == defect.replace("-", "_")


def test_each_defect_can_be_chosen_and_breaks_what_its_scenario_promises():
    """readiness.toml offers every row of the table and no other; the scenario that catches it has such an objective."""
    settings = read_settings(PROJECT / "readiness.toml")
    scenarios = {
        source.scenario.scenario: source.scenario
        for source in map(read_source, (PROJECT / "scenarios").rglob("*.yaml"))
    }
    promised = {
        name: {word_of(each) for each in planned(scenarios[row.caught_by], settings, "quick").promises}
        for name, row in DEFECTS.items()
        if row.is_caught_by_a_run
    }

    assert settings.system.subject.defects.keys() == DEFECTS.keys()
    assert [name for name in promised if DEFECTS[name].breaks not in promised[name]] == []


@pytest.mark.parametrize(
    ("made", "breaks", "said"),
    [
        pytest.param(histories.breaker_never_opens, "slow", None, id="caught"),
        pytest.param(histories.breaker_never_opens, "hits", "`hits` is not what failed", id="for something else"),
        pytest.param(histories.redis_latency, "slow", "`slow` is not what failed", id="a pass"),
        pytest.param(histories.nothing_seen, "slow", "`slow` is not what failed", id="inconclusive"),
    ],
)
def test_a_defect_is_caught_for_what_it_breaks_or_it_got_away(tmp_path, made, breaks, said):
    """An exit code alone would take any red for the right one."""
    (tmp_path / "verdict.json").write_text(run_text([judge(*made(), confidence=0.95)], {}))

    how = escape(replace(DEFECTS["breaker-never-opens"], breaks=breaks), tmp_path)

    assert how is None if said is None else said in how


@pytest.mark.parametrize("defect", sorted(name for name, row in DEFECTS.items() if not row.is_caught_by_a_run))
def test_a_defect_that_no_scenario_catches_is_caught_by_a_test_that_there_is(defect):
    """Which sees the healthy part beside it, and is about this one."""
    name = DEFECTS[defect].caught_by.removeprefix("suites/core/test_defects.py::")
    (cases,) = (mark for mark in globals()[name].pytestmark if mark.name == "parametrize")

    assert [case[0] for case in cases.args[1]] == ["", defect]


def test_unknown_defect_is_refused_with_those_that_are_known():
    """A misspelt id must not start a healthy service."""
    with pytest.raises(ValueError, match="unknown defect 'breaker-never-open'") as refusal:
        defects.installed("breaker-never-open", Design())

    assert all(defect in str(refusal.value) for defect in DEFECTS)
