"""The limiters for threads: through Redis, and in memory; invariants L1 to L8 are named in the tests."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from random import Random

import pytest

from fixtures.reference.clock import MonotonicClock
from fixtures.reference.core.breaker import Breaker, BreakerPolicy, CircuitOpen, Unavailable
from fixtures.reference.core.limiter import (
    GENEROUS,
    STRICT,
    BlockingLimiter,
    FailPolicy,
    Limiter,
    LimiterPolicy,
    MemoryLimiter,
    RateLimited,
)
from fixtures.reference.core.redis_link import BlockingRedisLink, RedisLinkPolicy
from harness.clock import FakeClock


@contextmanager
def limiter(port: int, rate_per_s=1.0, burst=10.0, *, clock=None, **more):
    breaker = Breaker("redis", BreakerPolicy(), clock=MonotonicClock(), random=Random(1))
    policy = LimiterPolicy(rate_per_s=rate_per_s, burst=burst, **more)
    with closing(
        BlockingRedisLink(RedisLinkPolicy(host="127.0.0.1", port=port, op_timeout_s=10.0), breaker=breaker)
    ) as link:
        yield BlockingLimiter(link, policy, clock=clock or FakeClock())


def admits(limiter: BlockingLimiter | MemoryLimiter, key: str, n: int = 1) -> bool:
    try:
        limiter.admit(key, n)
    except RateLimited:
        return False
    return True


def counted(limiter: BlockingLimiter | MemoryLimiter) -> dict[str, int]:
    return {decision: count for decision, count in limiter.decisions.items() if count}


def test_blocking_limiter_holds_its_bound_over_threads(redis_port):
    """Eight threads take exactly the tokens of one bucket, and each answer is counted (L1, L2)."""
    with limiter(redis_port, rate_per_s=0.001, burst=100) as bucket, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: admits(bucket, "threads"), range(160)))

        assert sum(answers) == 100
        assert counted(bucket) == {"admitted": 100, "rejected": 60}


async def test_blocking_limiter_shares_its_buckets_with_those_of_tasks(redis_port, linked):
    """A worker of threads and a service of tasks that know the same client limit it together (L1)."""
    tasks = Limiter(linked(), LimiterPolicy(rate_per_s=0.001, burst=10), clock=FakeClock())
    with limiter(redis_port, rate_per_s=0.001, burst=10) as threads:
        threads.admit("both", 7)
        await tasks.admit("both", 3)

        assert not admits(threads, "both")
        with pytest.raises(RateLimited) as refusal:
            threads.admit("both", 2)
        assert refusal.value.retry_after_s == pytest.approx(2000, rel=0.01)


@pytest.mark.parametrize(
    ("on_failure", "count", "decisions"),
    [
        pytest.param(FailPolicy.OPEN, 30, {"open_admitted": 30}, id="open lets all through"),
        pytest.param(FailPolicy.LOCAL, 5, {"local_admitted": 5, "local_rejected": 25}, id="local gives its share"),
    ],
)
def test_blocking_limiter_follows_its_policy_when_redis_is_dead(dead_port, on_failure, count, decisions):
    """The policy decides, every decision is counted, and Redis is asked five times only (L8)."""
    with limiter(dead_port, burst=10, share_ratio=0.5, on_failure=on_failure) as bucket:
        assert sum(admits(bucket, "dead") for _ in range(30)) == count
        assert counted(bucket) == decisions
        assert bucket._link.breaker.admitted == 5


def test_blocking_limiter_refuses_all_when_closed(dead_port):
    """Policy closed: the trouble of Redis is passed on (L8)."""
    with limiter(dead_port, on_failure=FailPolicy.CLOSED) as bucket:
        for _ in range(5):
            with pytest.raises(Unavailable):
                bucket.admit("dead")
        with pytest.raises(CircuitOpen):
            bucket.admit("dead")
        assert counted(bucket) == {"closed_rejected": 6}


@pytest.mark.parametrize(("n", "why"), [(11, "never fit"), (0, "at least one"), (-1, "at least one")])
def test_limiters_of_threads_refuse_what_makes_no_sense(dead_port, n, why):
    """A size that no bucket holds, or that would fill it, is a mistake of the caller and not a wait."""
    with limiter(dead_port, burst=10) as bucket, pytest.raises(ValueError, match=why):
        bucket.admit("any", n)
    with pytest.raises(ValueError, match=why):
        MemoryLimiter(LimiterPolicy(rate_per_s=1, burst=10), clock=FakeClock()).admit("any", n)
    assert counted(bucket) == {}


def test_memory_limiter_admits_the_burst_and_then_the_rate():
    """A bucket of three, two a second: refused with the time until the next token, and admitted after it (L1, L2, L6)."""
    clock = FakeClock()
    bucket = MemoryLimiter(LimiterPolicy(rate_per_s=2, burst=3), clock=clock)
    assert [admits(bucket, "one") for _ in range(4)] == [True, True, True, False]

    with pytest.raises(RateLimited) as refusal:
        bucket.admit("one")
    assert refusal.value.retry_after_s == pytest.approx(0.5, abs=2e-6)
    clock.advance(refusal.value.retry_after_s)

    assert [admits(bucket, "one") for _ in range(2)] == [True, False]
    assert counted(bucket) == {"admitted": 4, "rejected": 3}


def test_memory_limiter_takes_its_share():
    """One of four replicas without any Redis admits a quarter of what was agreed."""
    clock = FakeClock()
    bucket = MemoryLimiter(LimiterPolicy(rate_per_s=8, burst=12, share_ratio=0.25), clock=clock)

    assert sum(admits(bucket, "one") for _ in range(12)) == 3
    clock.advance(1)
    assert sum(admits(bucket, "one") for _ in range(12)) == 2


def test_memory_limiter_bounds_its_buckets():
    """Clients beyond `max_keys` share one bucket."""
    bucket = MemoryLimiter(LimiterPolicy(rate_per_s=0.001, burst=1, max_keys=2), clock=FakeClock())

    assert [admits(bucket, key) for key in "abcd"] == [True, True, True, False]


@pytest.mark.parametrize(("policy", "rate_per_s", "burst"), [(GENEROUS, 100, 500), (STRICT, 10, 50)])
def test_presets_admit_what_they_say(policy, rate_per_s, burst):
    """A hundred a second with five hundred at once, and a tenth of either."""
    clock = FakeClock()
    bucket = MemoryLimiter(policy, clock=clock)
    assert sum(admits(bucket, "one") for _ in range(600)) == burst

    clock.advance(1)

    assert sum(admits(bucket, "one") for _ in range(600)) == rate_per_s
