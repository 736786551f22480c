"""The limiter while Redis is dead or frozen: what its policy decides, and what asking costs (L8)."""

from __future__ import annotations

import asyncio
import math
import os
import signal
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

import pytest

from fixtures.reference.core.breaker import CircuitOpen, Unavailable
from fixtures.reference.core.limiter import FailPolicy, Limiter, LimiterPolicy, RateLimited
from fixtures.reference.core.redis_link import Script
from harness.clock import FakeClock

if TYPE_CHECKING:
    from fixtures.reference.core.breaker import State
    from fixtures.reference.core.redis_link import RedisLink

STATE = Script("return redis.call('HMGET', KEYS[1], 'k', 't')")
BEAT_S = 0.002  # between two arrivals, seconds


def limiter(link, rate_per_s=1.0, burst=10.0, *, clock=None, **more) -> Limiter:
    policy = LimiterPolicy(rate_per_s=rate_per_s, burst=burst, **more)
    return Limiter(link, policy, clock=clock or FakeClock())


async def admitted(limiter: Limiter, key: str, times: int, n: int = 1) -> int:
    """Ask so often; return how often the answer was yes."""
    count = 0
    for _ in range(times):
        try:
            await limiter.admit(key, n)
        except RateLimited:
            continue
        count += 1
    return count


def counted(limiter: Limiter) -> dict[str, int]:
    return {decision: count for decision, count in limiter.decisions.items() if count}


@contextmanager
def frozen(pid: int):
    """Stop a process for as long as this lasts; its sockets go on accepting, and nobody answers."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def pid_of(link) -> int:
    return (await link._send("INFO", "server"))["process_id"]


@pytest.mark.parametrize(
    ("on_failure", "count", "decisions"),
    [
        pytest.param(FailPolicy.OPEN, 30, {"open_admitted": 30}, id="open lets all through"),
        pytest.param(FailPolicy.LOCAL, 5, {"local_admitted": 5, "local_rejected": 25}, id="local gives its share"),
    ],
)
async def test_limiter_follows_its_policy_when_redis_is_dead(linked, dead_port, on_failure, count, decisions):
    """The policy decides, every decision is counted, and Redis is asked five times only (L8)."""
    link = linked(port=dead_port)
    bucket = limiter(link, burst=10, share_ratio=0.5, on_failure=on_failure)

    assert await admitted(bucket, "dead", 30) == count
    assert counted(bucket) == decisions
    assert (link.breaker.admitted, link.breaker.rejected) == (5, 25)


async def test_limiter_is_local_unless_told_otherwise(linked, dead_port):
    """A dead Redis neither closes a service nor lifts its limits (L8)."""
    bucket = limiter(linked(port=dead_port), burst=3)

    assert await admitted(bucket, "dead", 10) == 3


async def test_limiter_refuses_all_when_closed(linked, dead_port):
    """Policy closed: the trouble of Redis is passed on, at once when it is being rested (L8)."""
    bucket = limiter(linked(port=dead_port), on_failure=FailPolicy.CLOSED)

    for _ in range(5):
        with pytest.raises(Unavailable):
            await bucket.admit("dead")
    with pytest.raises(CircuitOpen):
        await bucket.admit("dead")
    assert counted(bucket) == {"closed_rejected": 6}


async def test_limiter_keeps_clients_apart_while_redis_is_dead(linked, dead_port):
    """Each client has a local bucket of its own (L7, L8)."""
    bucket = limiter(linked(port=dead_port), burst=6, share_ratio=0.5)

    assert await admitted(bucket, "greedy", 20) == 3
    assert await admitted(bucket, "modest", 2) == 2
    assert await admitted(bucket, "late", 20) == 3


@pytest.mark.parametrize(("seconds", "more"), [(0.4, 0), (0.5, 1), (2.0, 4), (1000.0, 6)])
async def test_limiter_refills_its_share_while_redis_is_dead(linked, dead_port, seconds, more):
    """Half of four a second is two, to half of twelve at most (L1, L2, L8)."""
    clock = FakeClock()
    bucket = limiter(linked(port=dead_port), rate_per_s=4, burst=12, share_ratio=0.5, clock=clock)
    assert await admitted(bucket, "dead", 20) == 6

    clock.advance(seconds)

    assert await admitted(bucket, "dead", 20) == more


@pytest.mark.parametrize("n", [5, 6, 9, 10])
async def test_limiter_admits_locally_whatever_redis_would(linked, dead_port, n):
    """A request of more than the share is admitted in its turn, and told truly when that is (L6, L8)."""
    clock = FakeClock()
    bucket = limiter(linked(port=dead_port), rate_per_s=2, burst=10, share_ratio=0.5, clock=clock)
    await bucket.admit("large", n)

    with pytest.raises(RateLimited) as refusal:
        await bucket.admit("large", n)
    assert refusal.value.retry_after_s == pytest.approx(n, abs=2e-6)  # what was given, earned at one a second
    clock.advance(n - 0.01)
    assert await admitted(bucket, "large", 1, n=n) == 0
    clock.advance(0.01 + 1e-9)
    assert await admitted(bucket, "large", 1, n=n) == 1


async def test_limiter_keeps_the_rate_of_its_share_for_large_requests(linked, dead_port):
    """Over a long outage a client of large requests gets one of them ahead, and after that its rate (L1, L8)."""
    clock = FakeClock()
    bucket = limiter(linked(port=dead_port), rate_per_s=2, burst=10, share_ratio=0.5, clock=clock)

    count = 0
    for _ in range(400):
        count += await admitted(bucket, "large", 1, n=9)
        clock.advance(0.25)

    assert 100 - 9 <= count * 9 <= 100 + 9


@pytest.mark.parametrize("policy", FailPolicy)
async def test_limiter_refuses_what_could_never_be_admitted_whatever_the_policy(linked, dead_port, policy):
    """More than the bucket of all replicas holds is a mistake of the caller, outage or not."""
    bucket = limiter(linked(port=dead_port), burst=10, share_ratio=0.5, on_failure=policy)

    with pytest.raises(ValueError, match="never fit"):
        await bucket.admit("never", 11)
    assert counted(bucket) == {}


async def test_limiter_counts_nothing_twice_after_an_outage(linked):
    """What was decided locally is not sent after it: the shared bucket goes on where Redis left it (L8)."""
    patient, hasty = linked(), linked(op_timeout_s=0.05)
    before, during = (limiter(link, rate_per_s=0.001, burst=20, share_ratio=0.5) for link in (patient, hasty))
    assert await admitted(before, "outage", 12) == 12

    with frozen(await pid_of(patient)):
        assert await admitted(during, "outage", 30) == 10
    tokens, _ = await patient.run(STATE, ["rl:tb1:outage"], [])

    assert 3 <= float(tokens) <= 8.1  # five calls were sent before the breaker opened, and may have arrived
    assert await admitted(before, "outage", 20) == int(float(tokens))


@dataclass
class Outage:
    """What callers on a schedule saw of it, seconds of the loop's clock.

    Attributes:
        waits: When each caller came, and how long it waited.
        fifty_milliseconds: What a sleep of that length took beside them.
        opened_s: When the breaker opened.
    """

    waits: list[tuple[float, float]] = field(default_factory=list)
    fifty_milliseconds: list[float] = field(default_factory=list)
    opened_s: float = math.inf

    def waited_s(self, *, opened: bool) -> list[float]:
        """Return how long those waited that came once the breaker was open, or those before."""
        return [waited_s for came_s, waited_s in self.waits if (came_s > self.opened_s) == opened]


async def lived_through(link: RedisLink, bucket: Limiter, arrivals: int) -> Outage:
    """Let callers come, one after the other, whatever became of those before."""
    loop = asyncio.get_running_loop()
    outage, begin_s = Outage(), loop.time()

    def on_transition(_name: str, _old: State, _new: State) -> None:
        outage.opened_s = min(outage.opened_s, loop.time())

    async def ask(number: int) -> None:
        came_s = loop.time()
        await bucket.admit(f"client-{number % 10}")
        outage.waits.append((came_s, loop.time() - came_s))

    async def control() -> None:
        came_s = loop.time()
        await asyncio.sleep(0.05)
        outage.fifty_milliseconds.append(loop.time() - came_s)

    link.breaker.subscribe(on_transition)
    async with asyncio.TaskGroup() as callers:
        for number in range(arrivals):
            await asyncio.sleep(begin_s + number * BEAT_S - loop.time())
            callers.create_task(ask(number))
            callers.create_task(control())
    return outage


@pytest.mark.parametrize("trouble", ["dead", "frozen"])
async def test_limiter_adds_at_most_fifty_milliseconds_while_redis_does_not_answer(linked, dead_port, trouble):
    """Callers wait for one budget at most until the breaker opens, which is one budget later, and none after that (L8).

    So of an outage that lasts for six seconds or more, 99 % of all callers wait for nothing.
    """
    alive = linked(op_timeout_s=0.05)
    link = alive if trouble == "frozen" else linked(port=dead_port, op_timeout_s=0.05)
    bucket = limiter(link, burst=1000)
    with frozen(await pid_of(linked())) if trouble == "frozen" else nullcontext():
        outage = await lived_through(link, bucket, arrivals=300)

    budget_s = max(outage.fifty_milliseconds)  # on this loop, now
    before, after = outage.waited_s(opened=False), outage.waited_s(opened=True)
    assert len(before) + len(after) == bucket.decisions["local_admitted"] == 300
    assert max(before) <= 3 * budget_s
    assert outage.opened_s - outage.waits[0][0] <= 3 * budget_s
    assert max(after) <= 0.04 + 2 * (budget_s - 0.05)
    assert median(after) <= 0.02 + 2 * (median(outage.fifty_milliseconds) - 0.05)
