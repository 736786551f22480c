"""The token bucket for any rate, burst and moments of asking, on a fake clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fixtures.reference.core.limiter import LimiterPolicy, LocalBuckets
from harness.clock import FakeClock

RATES = st.sampled_from([0.1, 0.5, 1.0, 7.0, 100.0, 10_000.0])
BURSTS = st.sampled_from([1, 2, 5, 40, 1000, 100_000])
PAUSES = st.lists(st.one_of(st.just(0.0), st.floats(0, 0.01), st.floats(0, 100)), min_size=1, max_size=60)


def asked(rate_per_s: float, burst: float, pauses: list[float], sizes: list[int]) -> list[tuple[float, int]]:
    """Ask after each pause; return when how much was admitted."""
    clock = FakeClock()
    buckets, admitted = LocalBuckets(rate_per_s, burst, clock=clock, max_keys=10), []
    for index, pause in enumerate(pauses):
        clock.advance(pause)
        n = min(sizes[index % len(sizes)], int(burst))
        if buckets.take("any", n) == 0:
            admitted.append((clock.now(), n))
    return admitted


@given(RATES, BURSTS, PAUSES, st.lists(st.integers(1, 100_000), min_size=1, max_size=5))
def test_bucket_never_admits_more_than_burst_and_rate_allow(rate_per_s, burst, pauses, sizes):
    """In every interval, wherever it begins and ends, at most burst + rate * t is admitted (L1, L4)."""
    admitted = asked(rate_per_s, burst, pauses, sizes)

    for first in range(len(admitted)):
        total = 0
        for at_s, n in admitted[first:]:
            total += n
            assert total <= burst + rate_per_s * (at_s - admitted[first][0]) + 1e-6 * burst


@given(RATES, BURSTS, PAUSES)
def test_bucket_loses_no_token_under_demand(rate_per_s, burst, pauses):
    """A bucket asked until it refuses has given all that it had (L2)."""
    burst = min(burst, 1000)
    clock = FakeClock()
    buckets, count, lost = LocalBuckets(rate_per_s, burst, clock=clock, max_keys=10), 0, 0.0
    tokens = float(burst)
    for pause in pauses:
        clock.advance(pause)
        lost += max(0.0, tokens + pause * rate_per_s - burst)  # what overflowed while nobody asked
        tokens = min(burst, tokens + pause * rate_per_s)
        while buckets.take("any") == 0:
            count, tokens = count + 1, tokens - 1

    assert count >= burst + rate_per_s * clock.now() - lost - 1 - 1e-6 * count


@given(RATES, BURSTS, PAUSES, st.integers(1, 100_000))
def test_bucket_tells_honestly_when_to_come_back(rate_per_s, burst, pauses, n):
    """Waiting as long as it said is enough, waiting clearly less is not (L6)."""
    n, clock = min(n, burst), FakeClock()
    buckets = LocalBuckets(rate_per_s, burst, clock=clock, max_keys=10)
    wait_s = 0.0
    for pause in pauses:
        clock.advance(pause / 1000)
        wait_s = wait_s or buckets.take("any", n)
        if wait_s:
            break
    if wait_s > 1e-3:
        clock.advance(wait_s * 0.99)
        assert buckets.take("any", n) > 0
        clock.advance(wait_s * 0.01)
        assert buckets.take("any", n) == 0


@given(st.floats(0.1, 1e5), st.floats(1, 1e6))
def test_bucket_lives_until_it_is_full(rate_per_s, burst):
    """Redis is told to keep it until then and at least a second, whatever rate and burst are (L4, L5)."""
    lifetime_ms = LimiterPolicy(rate_per_s=rate_per_s, burst=burst).lifetime_ms

    assert lifetime_ms >= 1000
    assert burst / rate_per_s * 1000 <= lifetime_ms <= burst / rate_per_s * 1000 + 1001
