"""Callers that wait for tokens: in the order of coming, within their time, and at no cost to others."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from fixtures.reference.clock import MonotonicClock
from fixtures.reference.core.breaker import DependencyFailed
from fixtures.reference.core.limiter import LimiterPolicy, MemoryLimiter, RateLimited, WaitingLine
from harness.clock import FakeClock

NEVER = 1e-3


class Waiting:
    """A line before a limiter in memory, which counts how often that is asked."""

    def __init__(self, rate_per_s: float, burst: float, *, clock=None) -> None:
        policy = LimiterPolicy(rate_per_s=rate_per_s, burst=burst)
        self.limiter = MemoryLimiter(policy, clock=clock or MonotonicClock())
        self.line = WaitingLine(self.admit, policy)
        self.asked: Counter[str] = Counter()

    async def admit(self, key: str, n: int) -> None:
        self.asked[key] += 1
        self.limiter.admit(key, n)

    def wait(self, key: str = "one", n: int = 1, within_s: float = 30.0) -> asyncio.Task[None]:
        return asyncio.create_task(self.line.admit(key, n, within_s=within_s))


async def test_line_lets_through_what_is_there():
    """While there are tokens, no caller waits, and no line is kept."""
    waiting = Waiting(NEVER, 3)

    await asyncio.gather(*(waiting.wait() for _ in range(3)))

    assert waiting.limiter.decisions["rejected"] == 0
    assert waiting.line._lines == {}


async def test_line_waits_until_there_are_enough():
    """Three tokens at a hundred a second are there after 30 ms, and not before (L1, L6)."""
    waiting, time = Waiting(100, 3, clock=(clock := FakeClock())), asyncio.get_running_loop().time
    await waiting.wait(n=3)

    began_s = time()
    second = waiting.wait(n=3)
    await asyncio.sleep(0)  # its turn, in which it asks and is told how long
    assert waiting.asked["one"] == 2
    clock.advance(0.03)
    await second

    assert time() - began_s >= 0.029
    assert waiting.asked["one"] == 3  # it was told how long, and slept for it


async def test_line_serves_in_the_order_of_coming():
    """A small request does not overtake a large one that came before it."""
    waiting, served = Waiting(500, 5), []
    await waiting.wait(n=5)

    tasks = [waiting.wait(n=n) for n in (5, 1, 3, 1, 2)]
    for number, task in enumerate(tasks):
        task.add_done_callback(lambda _, number=number: served.append(number))
    await asyncio.gather(*tasks)

    assert served == [0, 1, 2, 3, 4]


async def test_line_refuses_the_first_at_once_where_its_time_will_not_do():
    """It is told when there will be enough, and has neither waited nor taken anything (L6)."""
    waiting = Waiting(NEVER, 2)
    await waiting.wait(n=1)

    async with asyncio.timeout(10):
        with pytest.raises(RateLimited) as refusal:
            await waiting.wait(n=2, within_s=20)
    assert refusal.value.retry_after_s == pytest.approx(1000, rel=0.01)
    await waiting.wait(n=1)


async def test_line_refuses_a_follower_when_its_time_is_over():
    """It is told what its tokens take to earn; those before and behind it stay in line."""
    waiting = Waiting(0.01, 1)
    await waiting.wait()
    first = waiting.wait(within_s=1000)
    second, third = waiting.wait(within_s=0.02), waiting.wait(within_s=1000)

    async with asyncio.timeout(10):
        with pytest.raises(RateLimited) as refusal:
            await second

    assert refusal.value.retry_after_s == 100
    assert not first.done()
    assert not third.done()
    assert len(waiting.line._lines["one"]) == 2
    for task in (first, third):
        task.cancel()
    await asyncio.wait([first, third])
    assert waiting.line._lines == {}


@pytest.mark.parametrize("cancelled", [0, 1, 2], ids=["the first", "one in the middle", "the last"])
async def test_line_moves_on_when_one_is_cancelled(cancelled):
    """A caller that leaves took nothing: the others get what there is, in their order (L2)."""
    waiting = Waiting(100, 1, clock=(clock := FakeClock()))
    await waiting.wait()
    tasks = [waiting.wait() for _ in range(3)]
    await asyncio.sleep(0)

    tasks[cancelled].cancel()
    async with asyncio.timeout(30):
        while not all(task.done() for task in tasks):
            clock.advance(0.01)
            await asyncio.sleep(0.001)
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [isinstance(result, asyncio.CancelledError) for result in results].count(True) == 1
    assert results.count(None) == 2
    assert waiting.limiter.decisions["admitted"] == 3
    assert waiting.line._lines == {}


async def test_line_moves_on_when_the_one_whose_turn_has_come_is_cancelled():
    """Cancelled in the moment that its turn came, before it could ask: the next one is woken all the same."""
    waiting, gate, leaving = Waiting(NEVER, 2), asyncio.Event(), []

    async def admit(key: str, n: int) -> None:
        await gate.wait()
        waiting.limiter.admit(key, n)
        if leaving:  # after this returns the next one's turn has come, but this is done before it can know
            asyncio.get_running_loop().call_soon(leaving.pop().cancel)

    waiting.line._admit = admit
    first, second, third = waiting.wait(), waiting.wait(), waiting.wait()
    await asyncio.sleep(0)
    leaving.append(second)
    gate.set()

    async with asyncio.timeout(10):
        await asyncio.gather(first, third)
    assert second.cancelled()
    assert waiting.limiter.decisions["admitted"] == 2


async def test_line_of_one_client_holds_up_no_other():
    """Each client has a line of its own (L7)."""
    waiting = Waiting(NEVER, 1)
    await waiting.wait("greedy")
    stuck = waiting.wait("greedy", within_s=10_000)
    await asyncio.sleep(0)

    async with asyncio.timeout(10):
        await waiting.wait("modest")

    assert not stuck.done()
    stuck.cancel()
    await asyncio.wait([stuck])


async def test_line_asks_once_however_long_it_is():
    """Two thousand wait; the limiter was asked by the first of them only."""
    waiting = Waiting(0.01, 1, clock=FakeClock())
    await waiting.wait()
    tasks = [waiting.wait(within_s=1000) for _ in range(2_000)]
    for _ in range(3):
        await asyncio.sleep(0)

    assert waiting.asked["one"] == 2
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert waiting.asked["one"] == 2
    assert waiting.line._lines == {}


async def test_line_refuses_what_could_never_be_admitted():
    """At once, however many are in line."""
    waiting = Waiting(NEVER, 1)
    await waiting.wait()
    stuck = waiting.wait(within_s=10_000)
    await asyncio.sleep(0)

    with pytest.raises(ValueError, match="never fit"):
        await waiting.wait(n=2)
    stuck.cancel()
    await asyncio.wait([stuck])


async def test_line_passes_trouble_on():
    """What the limiter raises for want of Redis reaches the caller, and the next one is served."""
    waiting, troubles = Waiting(NEVER, 1), [DependencyFailed("redis", TimeoutError())]

    async def troubled(key: str, n: int) -> None:
        if troubles:
            raise troubles.pop()
        waiting.limiter.admit(key, n)

    waiting.line._admit = troubled
    first, second = waiting.wait(), waiting.wait()

    with pytest.raises(DependencyFailed):
        await first
    await second
