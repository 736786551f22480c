"""A changing rate as a flow of arrivals: how many were due by a moment, and when the n-th is due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harness.spec.schedule import Knot


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """A rate that changes in straight lines between knots.

    Attributes:
        times_s: Of the knots, ascending; two at one moment are a jump.
        per_s: The rate at each.
        due: Arrivals due by each: the integral, exact for straight lines.
    """

    times_s: NDArray[np.float64]
    per_s: NDArray[np.float64]
    due: NDArray[np.float64]

    @property
    def total(self) -> float:
        """Return the arrivals due by the end."""
        return float(self.due[-1])

    def moments_s(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return when so many arrivals are due, each in [0, total): the inverse of the integral.

        In a stretch from t0 with rate r and slope a, n more arrivals are due after the x with r x + a x^2 / 2 = n. The
        root is written so that it holds for a = 0 too, and loses no digits for a small one.

        Source: Press et al., Numerical Recipes (2007), section 5.6.
        """
        # The last knot that has as many: where nothing flows, the next arrival is due when it flows again.
        knot = np.clip(np.searchsorted(self.due, counts, side="right") - 1, 0, len(self.times_s) - 2)
        lengths_s, rises = np.diff(self.times_s), np.diff(self.per_s)
        slopes = np.divide(rises, lengths_s, out=np.zeros_like(rises), where=lengths_s > 0)
        more, rate, slope = counts - self.due[knot], self.per_s[knot], slopes[knot]
        below = rate + np.sqrt(np.maximum(0.0, rate**2 + 2 * slope * more))
        return self.times_s[knot] + np.divide(2 * more, below, out=np.zeros_like(more), where=below > 0)


def flow_through(knots: Sequence[Knot]) -> Flow:
    """Lay a flow through the knots of a schedule."""
    times_s, per_s = (np.array(column, dtype=np.float64) for column in zip(*knots, strict=True))
    pieces = np.diff(times_s) * (per_s[:-1] + per_s[1:]) / 2
    return Flow(times_s, per_s, np.concatenate(([0.0], np.cumsum(pieces))))
