"""The token bucket against its bounds, through a real Redis; invariants L1 to L8 are named in the tests."""

from __future__ import annotations

import asyncio

import pytest

from fixtures.reference.core.breaker import Unavailable
from fixtures.reference.core.limiter import FailPolicy, Limiter, LimiterPolicy, RateLimited
from fixtures.reference.core.redis_link import Script
from harness.clock import FakeClock

PTTL = Script("return redis.call('PTTL', KEYS[1])")
SET_TIME = Script("return redis.call('HSET', KEYS[1], 't', ARGV[1])")
STATE = Script("return redis.call('HMGET', KEYS[1], 'k', 't')")
NOW_US = Script("local t = redis.call('TIME'); return string.format('%.0f', t[1] * 1000000 + t[2])")


def limiter(link, rate_per_s=1.0, burst=10.0, **more) -> Limiter:
    policy = LimiterPolicy(rate_per_s=rate_per_s, burst=burst, **more)
    return Limiter(link, policy, clock=FakeClock())


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


async def elapsed_us(link, since_us: int) -> int:
    return int(await link.run(NOW_US, [], [])) - since_us


@pytest.mark.parametrize("burst", [1, 7, 100])
@pytest.mark.parametrize("rate_per_s", [0.1, 10.0, 10_000.0])
async def test_limiter_admits_the_burst_and_then_the_rate(linked, rate_per_s, burst):
    """In t seconds no more than burst + rate * t are admitted, and under demand no fewer but one (L1, L2, L4)."""
    link, key = linked(), f"grid-{rate_per_s}-{burst}"
    start_us = int(await link.run(NOW_US, [], []))

    count = await admitted(limiter(link, rate_per_s, burst), key, times=burst + 30)
    seconds = await elapsed_us(link, start_us) / 1e6

    assert count <= burst + rate_per_s * seconds + 1
    assert count >= min(burst, burst + 30)


async def test_limiter_holds_its_bound_over_many_replicas_at_once(linked):
    """Eight links with eight askers each take no more than one bucket together (L1)."""
    links = [linked() for _ in range(8)]
    start_us = int(await links[0].run(NOW_US, [], []))

    counts = await asyncio.gather(
        *(admitted(limiter(link, 100.0, 50.0), "together", times=20) for link in links for _ in range(8))
    )
    seconds = await elapsed_us(links[0], start_us) / 1e6

    assert 50 <= sum(counts) <= 50 + 100 * seconds + 1


async def test_limiter_charges_nothing_for_a_rejection(linked):
    """Being refused a hundred times does not change what is admitted afterwards (L3)."""
    link = linked()
    bucket = limiter(link, rate_per_s=0.001, burst=10)
    assert await admitted(bucket, "free", 1, n=8) == 1

    before = await link.run(STATE, ["rl:tb1:free"], [])
    assert await admitted(bucket, "free", 100, n=5) == 0
    assert await link.run(STATE, ["rl:tb1:free"], []) == before

    assert await admitted(bucket, "free", 5, n=1) == 2


async def test_limiter_says_honestly_when_to_come_back(linked):
    """Bucket state set back by what was announced admits, set back by a little less does not (L6)."""
    link = linked()
    bucket = limiter(link, rate_per_s=2.0, burst=4)
    await bucket.admit("honest", 4)
    with pytest.raises(RateLimited) as refusal:
        await bucket.admit("honest", 3)
    wait_s = refusal.value.retry_after_s

    assert 1.4 < wait_s <= 1.5 + 2e-6
    now_us = int(await link.run(NOW_US, [], []))
    await link.run(SET_TIME, ["rl:tb1:honest"], [now_us - int(wait_s * 1e6) + 100_000])
    assert await admitted(bucket, "honest", 1, n=3) == 0
    await link.run(SET_TIME, ["rl:tb1:honest"], [now_us - 1_500_001])
    assert await admitted(bucket, "honest", 1, n=3) == 1


@pytest.mark.parametrize(("rate_per_s", "burst"), [(0.1, 50), (10_000.0, 1), (100.0, 40)])
async def test_limiter_forgets_a_bucket_only_when_it_is_full(linked, rate_per_s, burst):
    """The key lives at least until the bucket is full, and at least a second, but not for ever (L5, L7)."""
    link = linked()
    await limiter(link, rate_per_s, burst).admit(f"life-{burst}")

    left_ms = await link.run(PTTL, [f"rl:tb1:life-{burst}"], [])

    to_full_ms = burst / rate_per_s * 1000
    assert max(900, to_full_ms) <= left_ms <= to_full_ms + 1001


async def test_limiter_keeps_clients_apart(linked):
    """An empty bucket of one client takes nothing from another (L7)."""
    bucket = limiter(linked(), rate_per_s=0.001, burst=3)
    await admitted(bucket, "greedy", 10)

    assert await admitted(bucket, "modest", 3) == 3


async def test_limiter_goes_on_when_the_time_of_redis_steps_back(linked):
    """With a bucket dated an hour ahead it refills from now on instead of freezing for that hour (T2)."""
    link = linked()
    bucket = limiter(link, rate_per_s=100.0, burst=500)  # remembered for six seconds
    await bucket.admit("step", 500)
    await link.run(SET_TIME, ["rl:tb1:step"], [int(await link.run(NOW_US, [], [])) + 3_600_000_000])
    await admitted(bucket, "step", 1, n=5)

    async with asyncio.timeout(2):
        while not await admitted(bucket, "step", 1, n=5):
            continue


async def test_limiter_refuses_what_could_never_be_admitted(linked):
    """More tokens than the bucket holds is a mistake of the caller, not a wait."""
    with pytest.raises(ValueError, match="never fit"):
        await limiter(linked(), burst=10).admit("never", 11)


@pytest.mark.parametrize("n", [0, -5])
async def test_limiter_refuses_to_give_tokens_back(linked, n):
    """Asking for less than one token would fill the bucket."""
    bucket = limiter(linked())

    with pytest.raises(ValueError, match="at least one token"):
        await bucket.admit("giver", n)
    assert set(bucket.decisions.values()) == {0}


async def test_limiter_counts_what_it_decides(linked):
    """Admitted and rejected make up all that was asked, and nothing else is counted."""
    bucket = limiter(linked(), rate_per_s=0.001, burst=7)

    count = await admitted(bucket, "counted", 10)

    assert count == 7
    assert {decision: count for decision, count in bucket.decisions.items() if count} == {"admitted": 7, "rejected": 3}


async def test_limiter_asks_once_for_all_callers_of_a_tick(linked):
    """Thirty-two callers at once, eight of each of four clients with room for five: one call, and each bucket exact (L1, L7)."""
    link = linked()
    bucket = limiter(link, rate_per_s=0.001, burst=5)

    asks = [(client, bucket.admit(f"tick-{client}")) for _ in range(8) for client in "abcd"]
    results = await asyncio.gather(*(ask for _, ask in asks), return_exceptions=True)

    admitted_of = {client: [] for client in "abcd"}
    for (client, _), result in zip(asks, results, strict=True):
        admitted_of[client].append(result is None)
    assert admitted_of == dict.fromkeys("abcd", [True] * 5 + [False] * 3)  # first come, first served
    assert link.breaker.admitted == 1


async def test_limiter_answers_each_caller_of_a_tick_about_its_own_tokens(linked):
    """Different sizes of different clients in one call: each is charged what it asked for (L3, L6)."""
    bucket = limiter(linked(), rate_per_s=1.0, burst=10)

    results = await asyncio.gather(
        bucket.admit("mixed-a", 10),
        bucket.admit("mixed-b", 1),
        bucket.admit("mixed-a", 4),
        bucket.admit("mixed-b", 9),
        bucket.admit("mixed-b", 2),
        return_exceptions=True,
    )

    assert [result and round(result.retry_after_s, 2) for result in results] == [None, None, 4.0, None, 2.0]


async def test_limiter_asks_anew_in_the_next_tick(linked):
    """A caller that comes while a call is under way does not wait for it: it is in the next."""
    link = linked()
    bucket = limiter(link)

    first = asyncio.create_task(bucket.admit("anew"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = asyncio.create_task(bucket.admit("anew"))
    await asyncio.gather(first, second)

    assert link.breaker.admitted == 2


async def test_limiter_bounds_a_call(linked):
    """Six hundred callers at once are three calls, so that no other user of Redis waits for all of them."""
    link = linked()
    bucket = limiter(link, rate_per_s=0.001, burst=590)

    results = await asyncio.gather(*(bucket.admit("crowd") for _ in range(600)), return_exceptions=True)

    assert sum(result is None for result in results) == 590
    assert link.breaker.admitted == 3


async def test_limiter_takes_nothing_for_callers_cancelled_before_it_asks(linked):
    """Who leaves in the tick of asking is not charged, and the others are answered."""
    bucket = limiter(linked(), rate_per_s=0.001, burst=3)

    tasks = [asyncio.create_task(bucket.admit("gone")) for _ in range(6)]
    await asyncio.sleep(0)
    for task in tasks[:3]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [isinstance(result, asyncio.CancelledError) for result in results] == [True] * 3 + [False] * 3
    assert results[3:] == [None] * 3


async def test_limiter_answers_the_others_when_one_caller_leaves_on_the_way(linked):
    """A caller cancelled while the call is under way takes nothing from those who asked with it."""
    bucket = limiter(linked(), rate_per_s=0.001, burst=10)

    tasks = [asyncio.create_task(bucket.admit("left")) for _ in range(5)]
    for _ in range(4):
        await asyncio.sleep(0)
    tasks[0].cancel()
    async with asyncio.timeout(10):
        results = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [None] * 4
    assert await admitted(bucket, "left", 10) == 5


async def test_limiter_tells_all_callers_of_a_failed_call(linked, dead_port):
    """Those of one tick are all told at once that Redis cannot say, at the price of one call (L8)."""
    link = linked(port=dead_port)
    bucket = limiter(link, on_failure=FailPolicy.CLOSED)

    results = await asyncio.gather(*(bucket.admit("failed") for _ in range(20)), return_exceptions=True)

    assert all(isinstance(result, Unavailable) for result in results)
    assert link.breaker.recent() == (1, 1)
    assert bucket.decisions["closed_rejected"] == 20
