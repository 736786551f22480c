"""One bucket of several processes whose clocks disagree (L1, L2)."""

from __future__ import annotations

from itertools import combinations

from suites.support.core.replicas import asked_by

RATE_PER_S, BURST = 100.0, 100.0


def test_limiter_holds_its_bound_over_processes(redis_port):
    """Four processes half a second early and four late: in t seconds burst + rate * t + 1, and nothing is lost (L1, L2)."""
    replicas = {0.5: 4, -0.5: 4}
    asks = asked_by(replicas, port=redis_port, rate_per_s=RATE_PER_S, burst=BURST, key="replicas")
    admitted = sorted((sent_s, answered_s) for sent_s, answered_s, was_admitted in asks if was_admitted)
    refused = sorted((sent_s, answered_s) for sent_s, answered_s, was_admitted in asks if not was_admitted)

    def within(begin_s: float, end_s: float) -> int:
        return sum(begin_s <= sent_s and answered_s <= end_s for sent_s, answered_s in admitted)

    moments_s = [sent_s for sent_s, _ in admitted[::5]] + [max(answered_s for _, answered_s in admitted)]
    for begin_s, end_s in combinations(moments_s, 2):
        assert within(begin_s, end_s) <= BURST + RATE_PER_S * (end_s - begin_s) + 1
    assert len(admitted) >= BURST
    # The bucket was empty at the first rejection and at the last, so what was refilled between them was given away.
    first, last = refused[0], refused[-1]
    between = sum(answered_s >= first[0] for _, answered_s in admitted)
    assert between >= RATE_PER_S * (last[0] - first[1]) - 1
