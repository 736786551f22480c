"""Each seeded defect of the limiter against the healthy one, on a real Redis; the letters are those of the contract."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from itertools import count

import pytest

from fixtures.defects import installed
from fixtures.reference.core.breaker import Unavailable
from fixtures.reference.core.limiter import FailPolicy, LimiterPolicy, RateLimited
from fixtures.reference.gate import Caller
from fixtures.reference.parts import Design
from harness.clock import FakeClock
from suites.support.core.breakers import SteppedLink

HOUR_S = 3600.0
NEVER = 1e-3
"""A rate at which nothing is refilled while a test lasts, tokens a second."""
NUMBERS = count()


@pytest.fixture
def client():
    """A client that no other test knows."""
    return f"defects-{next(NUMBERS)}"


@pytest.fixture
def stepped(linked):
    """A link to a real Redis whose scripts are told the time of a fake clock."""
    link = linked(kind=SteppedLink)
    link.clock = FakeClock(1_000_000.0)
    return link


def limiter_of(defect: str, link, rate_per_s: float, burst: float, **more):
    """The limiter of a service with a defect."""
    policy = LimiterPolicy(rate_per_s=rate_per_s, burst=burst, **more)
    return installed(defect, Design()).limiter(link, policy, clock=FakeClock())


async def admits(limiter, key: str) -> bool:
    """Ask for one token; tell whether it was given."""
    with suppress(RateLimited, Unavailable):
        await limiter.admit(key)
        return True
    return False


async def admitted(limiter, key: str, times: int) -> int:
    """Ask so often, one after the other; return how often it was admitted."""
    return sum([await admits(limiter, key) for _ in range(times)])


async def admitted_at_once(limiter, key: str, times: int) -> int:
    """Ask so often in one moment of Redis; return how often it was admitted."""
    return sum(await asyncio.gather(*(admits(limiter, key) for _ in range(times))))


@pytest.mark.parametrize(("defect", "holds"), [("", True), ("limiter-reads-then-writes", False)])
async def test_replicas_share_one_bucket_unless_they_read_before_they_write(linked, client, defect, holds):
    """Eight replicas with eight askers each get no more than one bucket together (L1)."""
    limiters = [limiter_of(defect, linked(), NEVER, 50) for _ in range(8)]

    counts = await asyncio.gather(*(admitted(each, client, 2) for each in limiters for _ in range(8)))

    assert (sum(counts) <= 50) == holds
    assert sum(counts) >= 50


@pytest.mark.parametrize(("defect", "holds"), [("", True), ("limiter-own-clock", False)])
async def test_replicas_whose_clocks_disagree_share_one_bucket_unless_they_go_by_them(
    linked, client, monkeypatch, defect, holds
):
    """One is a minute early and one a minute late: in t seconds they admit burst + rate * t + 1 (L1, T1)."""
    skew_s, wall = 0.0, time.time
    monkeypatch.setattr(time, "time", lambda: wall() + skew_s)
    early, late = (limiter_of(defect, linked(), 0.1, 10) for _ in range(2))
    begin_s, total = time.monotonic(), 0

    for _ in range(5):
        skew_s = 60.0
        total += await admitted_at_once(early, client, 12)
        skew_s = -60.0
        total += await admitted_at_once(late, client, 12)

    assert (total <= 10 + 0.1 * (time.monotonic() - begin_s) + 1) == holds


@pytest.mark.parametrize(("defect", "total"), [("", 40), ("limiter-rounds-to-nothing", 200)])
async def test_a_small_bucket_limits_unless_its_life_is_rounded_to_nothing(stepped, client, defect, total):
    """A hundred a second, forty at once: of two hundred in a moment forty get in (L4)."""
    limiter = limiter_of(defect, stepped, 100, 40)

    assert await admitted_at_once(limiter, client, 200) == total


@pytest.mark.parametrize(("defect", "total"), [("", 0), ("limiter-forgets-early", 50)])
async def test_a_client_over_its_rate_stays_so_unless_its_bucket_is_forgotten(linked, client, defect, total):
    """Of fifty tokens a day none is there again a second later (L5)."""
    link = linked()
    limiter = limiter_of(defect, link, 50 / 86_400, 50)
    assert await admitted_at_once(limiter, client, 51) == 50

    began_s = await time_of(link)
    while await time_of(link) < began_s + 1.1:  # noqa: ASYNC110 - Redis tells no one what time it is
        await asyncio.sleep(0.02)

    assert await admitted_at_once(limiter, client, 51) == total


@pytest.mark.parametrize(("defect", "ends"), [("", True), ("limiter-never-forgets", False)])
async def test_clients_that_have_gone_leave_nothing_unless_their_buckets_are_kept(linked, client, defect, ends):
    """A hundred come once: Redis will have forgotten each of them about a minute later (L7)."""
    link = linked()
    limiter = limiter_of(defect, link, 1, 60)

    await asyncio.gather(*(admits(limiter, f"{client}-{number}") for number in range(100)))
    left_ms = await asyncio.gather(*(link.call("PTTL", key) for key in await link.call("KEYS", f"*{client}-*")))

    assert len(left_ms) == 100
    assert {0 < each_ms <= 61_000 for each_ms in left_ms} == {ends}


@pytest.mark.parametrize(("defect", "total"), [("", 10), ("limiter-charges-for-refusals", 0)])
async def test_a_client_that_asks_on_gets_its_rate_unless_refusals_are_charged(stepped, client, defect, total):
    """Six a minute for one that asks every other second: in a hundred seconds it is served ten times (L2, L3)."""
    limiter = limiter_of(defect, stepped, 0.1, 5)
    assert await admitted_at_once(limiter, client, 6) == 5

    served = 0
    for _ in range(50):
        stepped.clock.advance(2)
        served += await admits(limiter, client)

    assert served == total


@pytest.mark.parametrize(("defect", "total"), [("", 40), ("limiter-saves-up", 100)])
async def test_a_rest_fills_a_bucket_and_no_more_unless_it_saves_up(stepped, client, defect, total):
    """A client of an hour ago gets its burst, and not what the hour would have refilled (L1, L5)."""
    limiter = limiter_of(defect, stepped, 0.1, 40)
    assert await admits(limiter, client)

    stepped.clock.advance(HOUR_S)

    assert await admitted_at_once(limiter, client, 100) == total


@pytest.mark.parametrize(("defect", "total"), [("", 5), ("limiter-freezes", 0)])
async def test_a_bucket_refills_after_the_time_stepped_back_unless_it_freezes(stepped, client, defect, total):
    """The clock of Redis is set back by an hour: within burst / rate of it the client has its burst again (T2)."""
    limiter = limiter_of(defect, stepped, 0.05, 5)
    assert await admitted_at_once(limiter, client, 5) == 5

    stepped.clock.now_s -= HOUR_S
    assert await admitted_at_once(limiter, client, 10) == 0
    stepped.clock.advance(100)

    assert await admitted_at_once(limiter, client, 10) == total


@pytest.mark.parametrize(("defect", "totals"), [("", (20, 0)), ("limiter-turns-its-policy", (0, 20))])
async def test_an_outage_does_what_was_chosen_unless_it_is_turned(linked, dead_port, client, defect, totals):
    """Twenty requests with Redis dead: `open` admits all of them, `closed` none (L8)."""
    limiters = [
        limiter_of(defect, linked(port=dead_port), NEVER, 10, on_failure=chosen)
        for chosen in (FailPolicy.OPEN, FailPolicy.CLOSED)
    ]

    assert tuple([await admitted(each, client, 20) for each in limiters]) == totals


@pytest.mark.parametrize(("defect", "totals"), [("", (5, 0)), ("limiter-swallows-outages", (20, 20))])
async def test_an_outage_lifts_no_limit_unless_it_is_swallowed(linked, dead_port, client, defect, totals):
    """Twenty requests with Redis dead: `local` admits this replica's half of ten, `closed` none (L8)."""
    limiters = [
        limiter_of(defect, linked(port=dead_port), NEVER, 10, on_failure=chosen, share_ratio=0.5)
        for chosen in (FailPolicy.LOCAL, FailPolicy.CLOSED)
    ]

    assert tuple([await admitted(each, client, 20) for each in limiters]) == totals


@pytest.mark.parametrize(("defect", "decides"), [("", True), ("limiter-waits-for-redis", False)])
async def test_a_frozen_redis_delays_nobody_for_long_unless_it_is_waited_for(linked, client, defect, decides):
    """What accepts and does not answer costs a caller its budget of 50 ms; a second later it is still asked (L8)."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        limiter = limiter_of(defect, linked(port=frozen.getsockname()[1], op_timeout_s=0.05), 10, 10)
        asking = asyncio.create_task(limiter.admit(client))

        done, _ = await asyncio.wait([asking], timeout=1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    assert bool(done) == decides
    assert limiter.decisions["local_admitted"] == decides


@pytest.mark.parametrize(("defect", "total"), [("", 0), ("limiter-evicts", 2)])
async def test_others_hide_no_client_in_an_outage_unless_they_evict_it(linked, dead_port, client, defect, total):
    """Two requests are all that a client has; 1100 others come by, and it still has had them (L1, L7)."""
    limiter = limiter_of(defect, linked(port=dead_port), NEVER, 2)
    assert await admitted(limiter, client, 10) == 2

    for other in range(1100):
        await admits(limiter, f"{client}-{other}")

    assert await admitted(limiter, client, 10) == total


@pytest.mark.parametrize(("defect", "total"), [("", 5), ("limiter-lumps-clients", 0)])
async def test_a_greedy_client_takes_from_no_other_unless_all_pay_from_one_bucket(linked, client, defect, total):
    """A hundred requests of one client leave another its five (L7)."""
    limiter = limiter_of(defect, linked(), NEVER, 5)
    await admitted_at_once(limiter, f"{client}-greedy", 100)

    assert await admitted_at_once(limiter, f"{client}-modest", 10) == total


@pytest.mark.parametrize(("defect", "total"), [("", 2), ("limiter-ignores-the-cost", 10)])
async def test_a_request_pays_for_its_size_unless_all_cost_the_same(linked, client, defect, total):
    """Ten imports of four items each, where ten tokens are left (L1)."""
    gate = gate_of(defect, linked())

    assert await let_in(gate.write(Caller("", client), items=4) for _ in range(10)) == total


@pytest.mark.parametrize(("defect", "total"), [("", 0), ("gate-writes-for-free", 20)])
async def test_a_client_over_its_rate_writes_nothing_unless_writes_are_free(linked, client, defect, total):
    """It has used up its tokens with questions, and asks twenty times to write (L1)."""
    gate, caller = gate_of(defect, linked()), Caller("", client)
    assert await let_in(gate.read(caller) for _ in range(20)) == 10

    assert await let_in(gate.write(caller) for _ in range(20)) == total


def gate_of(defect: str, link):
    """The gate of a service with a defect; clients have ten tokens, which nothing refills."""
    return installed(defect, Design()).gate(limiter_of(defect, link, NEVER, 10), limiter_of(defect, link, NEVER, 10))


async def let_in(asks) -> int:
    """Ask one after the other; return how many were let in."""
    count = 0
    for ask in asks:
        with suppress(RateLimited):
            await ask
            count += 1
    return count


async def time_of(link) -> float:
    """Return the seconds of Redis."""
    seconds, microseconds = await link.call("TIME")
    return int(seconds) + int(microseconds) / 1_000_000
