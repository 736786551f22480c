"""`latency_distribution`: delays with a tail, as real services have them. An extension of ours."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.faultproxy.toxics.duration import MAX_MS
from harness.faultproxy.toxics.latency import LatencyStage

if TYPE_CHECKING:
    from random import Random

    from harness.faultproxy.toxics.stage import Stub

# The 99th percentile of the standard normal distribution.
Z99 = 2.3263478740408408
PARAMETRIC = ("normal", "lognormal", "pareto")


@dataclass(frozen=True, slots=True)
class LatencyDistribution:
    """Hold each piece back for a time drawn from a distribution; otherwise as `latency`.

    Every shape but the table is given by the same two figures, so that one can compare tails and change nothing else.

    Attributes:
        distribution: `normal`, `lognormal`, `pareto`, or `table`.
        median: Milliseconds, half of the pieces are faster.
        p99: Milliseconds, 1 % of the pieces are slower.
        percentiles: For `table`: pairs of a percentile, 0 to 100, and milliseconds, both rising. Between pairs the
            delay is interpolated; outside of them it is that of the nearest.
        cap: Milliseconds that no delay exceeds; tails are long.
    """

    distribution: str = "lognormal"
    median: int = 0
    p99: int = 0
    percentiles: tuple[tuple[float, float], ...] = ()
    cap: int = 60_000

    def problem(self) -> str | None:
        """Refuse what no distribution has."""
        if not 0 <= self.cap <= MAX_MS:
            return f"cap must be from 0 to {MAX_MS} ms"
        if self.distribution == "table":
            return _table_problem(self.percentiles)
        if self.distribution not in PARAMETRIC:
            return f"distribution must be one of {', '.join(PARAMETRIC)}, table"
        if not 0 < self.median <= self.p99 <= MAX_MS:
            return f"median must be above 0 and at most p99, p99 at most {MAX_MS} ms"
        return None

    def stage(self, stub: Stub) -> LatencyStage:
        """Return the stage for one link."""
        return LatencyStage(self, stub)

    def delay_s(self, dice: Random) -> float:
        """Draw the delay of one piece, in seconds."""
        draw_ms = {"normal": self._normal, "lognormal": self._lognormal, "pareto": self._pareto, "table": self._table}
        return min(max(0.0, draw_ms[self.distribution](dice)), self.cap) / 1000

    def _normal(self, dice: Random) -> float:
        return dice.gauss(self.median, (self.p99 - self.median) / Z99)

    def _lognormal(self, dice: Random) -> float:
        return dice.lognormvariate(math.log(self.median), math.log(self.p99 / self.median) / Z99)

    def _pareto(self, dice: Random) -> float:
        # P(X > x) = (minimum / x) ** alpha is 1/2 at the median and 1/100 at p99, so (p99 / median) ** alpha = 50.
        inverse_alpha = math.log(self.p99 / self.median) / math.log(50)
        minimum = self.median / 2**inverse_alpha
        return float(minimum * (1 - dice.random()) ** -inverse_alpha)

    def _table(self, dice: Random) -> float:
        percent = dice.random() * 100
        if percent <= self.percentiles[0][0]:
            return self.percentiles[0][1]
        for (low, low_ms), (high, high_ms) in itertools.pairwise(self.percentiles):
            if percent <= high:
                return low_ms + (high_ms - low_ms) * (percent - low) / (high - low)
        return self.percentiles[-1][1]


def _table_problem(pairs: tuple[tuple[float, float], ...]) -> str | None:
    if not pairs:
        return "percentiles must have at least one pair"
    if not all(0 <= percent <= 100 and 0 <= delay_ms <= MAX_MS for percent, delay_ms in pairs):
        return f"percentiles must be pairs of a percentile from 0 to 100 and 0 to {MAX_MS} ms"
    rises = all(low[0] < high[0] and low[1] <= high[1] for low, high in itertools.pairwise(pairs))
    return None if rises else "percentiles must rise"
