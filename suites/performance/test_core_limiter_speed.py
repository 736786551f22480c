"""What a limiter's check costs: in memory in bare calls, in Redis in GETs; other limiters beside it."""

from __future__ import annotations

import limits
import throttled

from fixtures.reference.core.limiter import LimiterPolicy, MemoryLimiter
from suites.support.race import race

TIMES = 200
WIDE = LimiterPolicy(rate_per_s=1e9, burst=1e9)
"""Nothing is refused."""


def admitted() -> None:
    """Admit, whatever is asked."""


def bare() -> None:
    for _ in range(TIMES):
        admitted()


def test_a_check_in_memory_costs_less_than_a_microsecond(clock, figures):
    """700 ns where a bare call takes 26: exact under threads, so a lock is in it."""
    limiter = MemoryLimiter(WIDE, clock=clock)
    window, per_s = (
        limits.strategies.FixedWindowRateLimiter(limits.storage.MemoryStorage()),
        limits.RateLimitItemPerSecond(10**9),
    )
    bucket = throttled.Throttled(
        key="client",
        using="token_bucket",
        quota=throttled.rate_limiter.per_sec(10**9, burst=10**9),
        store=throttled.MemoryStore(),
    )

    def ours() -> None:
        admit = limiter.admit
        for _ in range(TIMES):
            admit("client")

    def fixed_window() -> None:
        for _ in range(TIMES):
            window.hit(per_s, "client")

    def token_bucket() -> None:
        for _ in range(TIMES):
            bucket.limit()

    ways = {
        "bare": bare,
        "ours": ours,
        "limits, fixed window": fixed_window,
        "throttled-py, token bucket": token_bucket,
    }
    best = race(ways, operations=TIMES)

    assert limiter.decisions["admitted"] >= TIMES
    assert not limiter.decisions["rejected"]
    beside = {name: best[name] for name in list(ways)[2:]}
    figures.at_most(
        "limiter", "in memory", best["ours"], ("bare call", best["bare"]), 700 / 26, "700 ns : 26 ns", **beside
    )
