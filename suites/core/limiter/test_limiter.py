"""The token bucket against its bounds, through a real Redis; invariants L1 to L8 are named in the tests."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from random import Random

import pytest

from fixtures.reference.core.breaker import CircuitOpen, Unavailable
from fixtures.reference.core.limiter import FailPolicy, Limiter, LimiterPolicy, LocalBuckets, RateLimited
from fixtures.reference.core.redis_link import Script
from harness.clock import FakeClock

PTTL = Script("return redis.call('PTTL', KEYS[1])")
SET_TIME = Script("return redis.call('HSET', KEYS[1], 't', ARGV[1])")
STATE = Script("return redis.call('HMGET', KEYS[1], 'k', 't')")
NOW_US = Script("local t = redis.call('TIME'); return string.format('%.0f', t[1] * 1000000 + t[2])")


def limiter(link, rate_per_s=1.0, burst=10.0, **more) -> Limiter:
    return Limiter(link, LimiterPolicy(rate_per_s=rate_per_s, burst=burst, **more), clock=FakeClock())


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


@pytest.mark.parametrize(
    ("on_failure", "count", "decisions"),
    [
        pytest.param(FailPolicy.OPEN, 30, {"open_admitted": 30}, id="open lets everybody through"),
        pytest.param(FailPolicy.LOCAL, 5, {"local_admitted": 5, "local_rejected": 25}, id="local gives its share"),
    ],
)
async def test_limiter_follows_its_policy_when_redis_is_dead(linked, dead_port, on_failure, count, decisions):
    """Nobody listening: the policy decides, every decision is counted, and Redis is asked five times only (L8)."""
    link = linked(port=dead_port)
    bucket = limiter(link, burst=10, share_ratio=0.5, on_failure=on_failure)

    assert await admitted(bucket, "dead", 30) == count
    assert dict(bucket.decisions) == decisions
    assert (link.breaker.admitted, link.breaker.rejected) == (5, 25)


async def test_limiter_refuses_everybody_when_closed(linked, dead_port):
    """Policy closed: the trouble of Redis is passed on, at once when it is being rested (L8)."""
    bucket = limiter(linked(port=dead_port), on_failure=FailPolicy.CLOSED)

    for _ in range(5):
        with pytest.raises(Unavailable):
            await bucket.admit("dead")
    with pytest.raises(CircuitOpen):
        await bucket.admit("dead")
    assert bucket.decisions == {"closed_rejected": 6}


async def test_limiter_waits_for_a_frozen_redis_no_longer_than_its_budget(linked):
    """A server that accepts and never answers costs five budgets in all, then nothing (L8)."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:  # the kernel accepts for it, and nobody reads
        link = linked(port=frozen.getsockname()[1], op_timeout_s=0.05)
        bucket, clock = limiter(link, burst=100), asyncio.get_running_loop().time

        began_s = clock()
        assert await admitted(bucket, "frozen", 50) == 50
        took_s = clock() - began_s

    assert link.breaker.admitted == 5
    assert 0.25 <= took_s < 1.0


def test_local_buckets_hold_their_bound_with_eight_threads():
    """Eight threads on one bucket take exactly its tokens (L1)."""
    buckets, taken, gate = LocalBuckets(1.0, 4000, clock=FakeClock()), [], threading.Barrier(8)

    def ask() -> None:
        gate.wait(10)
        taken.append(sum(buckets.take("one") == 0 for _ in range(2000)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # as unkind as a scheduler can be
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    finally:
        sys.setswitchinterval(interval_s)

    assert sum(taken) == 4000


def test_local_buckets_give_no_fresh_bucket_to_a_client_hidden_by_others():
    """However many other clients come by, an empty bucket stays empty, and memory stays bounded."""
    buckets = LocalBuckets(0.001, 5, clock=FakeClock(), max_keys=100)
    for _ in range(5):
        assert buckets.take("attacker") == 0

    for other in range(5000):
        buckets.take(f"other-{other}")

    assert buckets.take("attacker") > 0
    assert len(buckets) <= 101


def test_local_buckets_forget_the_full_ones():
    """Clients that have not asked for long make room for others."""
    clock = FakeClock()
    buckets = LocalBuckets(1.0, 5, clock=clock, max_keys=100)
    for other in range(100):
        buckets.take(f"other-{other}")
    clock.advance(5)

    assert buckets.take("new") == 0

    assert len(buckets) == 1


def test_local_buckets_never_admit_more_for_being_swept():
    """Random clients and times: each stays within burst + rate * t although buckets come and go."""
    clock, dice = FakeClock(), Random(11)
    buckets = LocalBuckets(2.0, 3, clock=clock, max_keys=5)
    taken = dict.fromkeys(range(12), 0)

    for _ in range(5000):
        client = dice.randrange(12)
        taken[client] += buckets.take(str(client)) == 0
        clock.advance(dice.random() * 0.05)

    assert max(taken.values()) <= 3 + 2.0 * clock.now() + 1
