"""Two groups of runs by their ranks: how likely so large a difference is by chance, and how large it is.

Exact for any number of values and with any ties: the null distribution is counted over every way in which the values
could have been dealt to the two groups. Nothing is assumed of the values but that within a group each run is
independent of the others, which is why these are values of whole runs and never of single requests.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def two_sided_p(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the exact two-sided p of the Mann-Whitney test: twice the smaller tail, at most 1.

    Args:
        before: One finite value a run; at least one.
        after: The same of the other group, in the same unit.

    Source: Mann and Whitney (1947); midranks and the permutation distribution given the ties, Lehmann,
    Nonparametrics (1975), section 1.4.
    """
    ranks = _doubled_midranks([*before, *after])
    shares = _rank_sum_shares(ranks, len(after))
    seen = sum(ranks[len(before) :])
    # The two sums may miss 1 by the rounding of doubles when everything is on one side.
    return min(1.0, 2 * min(float(shares[: seen + 1].sum()), float(shares[seen:].sum())))


def shift(before: Sequence[float], after: Sequence[float]) -> float:
    """Return how much larger `after` is: the median of all differences between a run of one and of the other group.

    Source: Hodges and Lehmann (1963).
    """
    return float(np.median(_differences(before, after)))


def shift_bounds(before: Sequence[float], after: Sequence[float], confidence: float) -> tuple[float, float]:
    """Return one-sided bounds of the shift, each with at least `confidence`; infinite for too few runs.

    They are the shifts that the one-sided test does not refute. With ties they are wider than need be, never narrower.

    Source: Lehmann, Nonparametrics (1975), section 2.3.
    """
    differences = np.sort(_differences(before, after))
    skipped = _largest_unlikely_count(len(before), len(after), 1 - confidence)
    if skipped < 0:
        return -math.inf, math.inf
    return float(differences[skipped]), float(differences[-1 - skipped])


def _differences(before: Sequence[float], after: Sequence[float]) -> NDArray[np.float64]:
    differences: NDArray[np.float64] = np.array(after, dtype=float)[:, np.newaxis] - np.array(before, dtype=float)
    return differences.ravel()


def _largest_unlikely_count(many: int, others: int, alpha: float) -> int:
    """Return the largest Mann-Whitney count that is reached, or undercut, with at most `alpha`; -1 if none is."""
    ranks = [2 * rank for rank in range(1, many + others + 1)]
    least = sum(ranks[:others])
    tails = accumulate(_rank_sum_shares(ranks, others)[least::2])
    return sum(1 for tail in tails if tail <= alpha) - 1


def _doubled_midranks(values: Sequence[float]) -> list[int]:
    """Return each value's rank among all, twice, so that the mean rank of tied values is a whole number."""
    ordered = np.sort(values)
    below, up_to = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return [int(rank) for rank in below + up_to + 1]


def _rank_sum_shares(ranks: Sequence[int], chosen: int) -> NDArray[np.float64]:
    """Return, for each sum, the share of all choices of `chosen` of the `ranks` that add up to it.

    Whole numbers in doubles: exact up to 2**53 choices (28 against 28), and to 13 digits beyond.
    """
    ways = np.zeros((chosen + 1, sum(ranks) + 1))
    ways[0, 0] = 1
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, :-rank].copy()
    return ways[chosen] / math.comb(len(ranks), chosen)  # type: ignore[no-any-return]  # a row of an array is an array
