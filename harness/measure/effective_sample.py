"""How many independent requests the requests of a phase are worth.

Requests are not independent: who waits in a queue waits with its neighbours, so a thousand slow ones may be a single
story told a thousand times. Bounds that take them as independent are far too sure of themselves: of a service with 8 %
slow requests at a limit of 5 %, in a queue that is 90 % busy, 19 % of one-minute runs then pass (docs/statistics.md).

The requests of a phase are counted in blocks of time. The variance of their events, beside the one that independent
requests would have, tells how many independent ones they are worth.

Source: the initial monotone sequence estimator of Geyer, Practical Markov Chain Monte Carlo (1992), section 3.3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from harness.history.marks import PhaseMark
    from harness.history.samples import Samples
    from harness.spec.objective import RatioObjective

LONGEST_BLOCK_S = 1.0
BLOCKS = 60
"""A short phase is cut into this many: with fewer, a queue's slow swings are taken for noise (simulated, docs/)."""

GUARDS = (0.50, 0.75, 0.90)
"""Quantiles of the latencies seen that are looked at as well: no slow request at all must not mean `independent`."""

GUARD_REACH = 4
"""A guard counts if it is at least the limit divided by this.

In a queue the share beyond u falls exponentially with u, so where even the slowest tenth keeps within a quarter of the
limit, 0.1^4 of the requests go beyond it: however they hang together, they say nothing about the limit.
"""


def effective_total(objective: RatioObjective, considered: Samples, mark: PhaseMark) -> float:
    """Return how many independent requests `considered` are worth to `objective`; at most how many they are.

    Args:
        objective: What is counted.
        considered: The requests that it is about, all of the phase `mark`.
        mark: The phase.
    """
    blocks = _Blocks(considered, mark)
    return min(blocks.effective_total(indicator) for indicator in _indicators(objective, considered))


def _indicators(objective: RatioObjective, considered: Samples) -> Iterator[NDArray[np.bool_]]:
    """Tell what is counted: the objective's own events, and for latencies how they hang together on the way there."""
    yield objective.counts(considered)
    limit_s = objective.bad_after_s
    if limit_s is not None and len(considered):
        latencies_s = np.sort(considered.records["latency_s"])
        for share in GUARDS:
            guard_s = float(latencies_s[int(share * (len(latencies_s) - 1))])
            if limit_s / GUARD_REACH <= guard_s < limit_s:
                yield ~considered.is_ok() | considered.is_slower_than(guard_s)


class _Blocks:
    """The requests of a phase, sorted into blocks of time."""

    def __init__(self, considered: Samples, mark: PhaseMark) -> None:
        count = max(BLOCKS, math.ceil(mark.lasted_s / LONGEST_BLOCK_S))
        since_s = considered.records["intended_s"] - mark.began_s
        self._index = np.clip((since_s * (count / mark.lasted_s)).astype(np.int64), 0, count - 1)
        self._totals = np.bincount(self._index, minlength=count)

    def effective_total(self, indicator: NDArray[np.bool_]) -> float:
        """Return how many independent requests vary as much as these; see `worth`."""
        counts = np.bincount(self._index[indicator], minlength=len(self._totals))
        return worth(counts.tolist(), self._totals.tolist())


def worth(events: Sequence[int], totals: Sequence[int]) -> float:
    """Return p (1 - p) n² / V: with a variance V of the events, that many coins would vary as much; at most n.

    Args:
        events: How often it happened in each block of time, in order.
        totals: How often it could have, in each.
    """
    total, happened = sum(totals), sum(events)
    if happened in {0, total}:
        return float(total)
    share = happened / total
    surplus = [k - share * n for k, n in zip(events, totals, strict=True)]
    variance = len(surplus) * long_run_variance(surplus)
    return min(float(total), share * (1 - share) * total**2 / variance) if variance > 0 else float(total)


def long_run_variance(series: Sequence[float]) -> float:
    """Return the variance that the mean of a long stretch of `series` has, times its length.

    The autocovariances are added up in pairs for as long as a pair is positive, no pair counting for more than the one
    before it; in a reversible process they must be so, and what is not is noise.

    Args:
        series: Around zero. Sums are exact (math.fsum), so that every machine finds the same bits.
    """
    own, doubled = _autocovariance(series, 0), 0.0
    least = math.inf
    for lag in range(0, len(series) - 1, 2):
        pair = _autocovariance(series, lag) + _autocovariance(series, lag + 1)
        if pair <= 0:
            break
        least = min(least, pair)
        doubled += least
    # Neighbours that balance each other out earn nothing: with few blocks that is mostly luck.
    return max(2 * doubled - own, own)


def _autocovariance(series: Sequence[float], lag: int) -> float:
    return math.fsum(a * b for a, b in zip(series, series[lag:], strict=False)) / len(series)
