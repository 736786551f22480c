"""How hard the service is pressed: a rate of arrivals, not a number of users."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import Field

from harness.spec.model import Model
from harness.spec.quantity import Duration, Ratio
from harness.spec.schedule import PER_S_MAX, Constant, Schedule


class Keys(Model):
    """Which items are asked for.

    Attributes:
        count: Items are 0 .. count - 1.
        zipf: Skew s of P(rank k) ~ 1 / k^s; 0 is uniform, web traffic is about 0.8 to 1.1.
    """

    count: int = Field(default=2000, ge=1, le=10_000_000)
    zipf: float = Field(default=1.0, ge=0, le=5)


class Load(Model):
    """An open load: requests start when the schedule says, whether or not earlier ones were answered.

    Attributes:
        arrivals_per_s: Requests a second, over all operations: where the schedule begins, or what it swings around.
        schedule: How the rate changes over the run.
        arrivals: `poisson` (independent clients) or `constant` (a metronome, for comparisons).
        client: `fast` (an HTTP library) or `lean` (a bare socket, for high rates).
        locustfile: Locust users to press with, instead of ours: a file below the project's folder. An arrival is then
            one run of a task, and `writes` and `keys` mean nothing.
        writes: Share of requests that write.
        keys: Which items are asked for.
        max_in_flight: Requests at a time; arrivals beyond it wait, and their latency counts the wait.
        drain: How long answers are awaited after the last arrival.
    """

    arrivals_per_s: float = Field(gt=0, le=PER_S_MAX)
    schedule: Schedule = Constant()
    arrivals: Literal["poisson", "constant"] = "poisson"
    client: Literal["fast", "lean"] = "fast"
    locustfile: str | None = Field(default=None, min_length=1)
    writes: Ratio = 0.1
    keys: Keys = Keys()
    max_in_flight: int = Field(default=256, ge=1, le=10_000)
    drain: Duration = Field(default=5.0, gt=0, le=60)

    def stretched(self, factor: float) -> Load:
        """Return the same load for a run `factor` times as long."""
        return self.model_copy(update={"schedule": self.schedule.stretched(factor)})

    def expected(self, began_s: float, ended_s: float) -> float:
        """Return how many requests to expect in [began_s, ended_s), seconds since the origin: the rate's integral."""
        return self._until(ended_s) - self._until(began_s)

    def peak_per_s(self, lasts_s: float) -> float:
        """Return the highest rate of a run."""
        return max(per_s for _, per_s in self.schedule.knots(self.arrivals_per_s, lasts_s))

    def is_steady(self, began_s: float, ended_s: float) -> bool:
        """Tell whether the rate stays what it is at `began_s` until `ended_s`."""
        if self.schedule.kind == "replay":
            return False
        knots = self.schedule.knots(self.arrivals_per_s, ended_s)
        spans = [(one, other) for one, other in pairwise(knots) if other[0] > began_s and other[0] > one[0]]
        return len({per_s for span in spans for _, per_s in span}) <= 1

    def _until(self, at_s: float) -> float:
        knots = self.schedule.knots(self.arrivals_per_s, at_s) if at_s > 0 else ()
        return sum((one[1] + other[1]) / 2 * (other[0] - one[0]) for one, other in pairwise(knots))
