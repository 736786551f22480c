"""How hard the service is pressed: a rate of arrivals, not a number of users."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.spec.model import Model
from harness.spec.quantity import Duration, Ratio


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
        arrivals_per_s: Requests a second, over all operations.
        arrivals: `poisson` (independent clients) or `constant` (a metronome, for comparisons).
        writes: Share of requests that write.
        keys: Which items are asked for.
        max_in_flight: Requests at a time; arrivals beyond it wait, and their latency counts the wait.
        drain: How long answers are awaited after the last arrival.
    """

    arrivals_per_s: float = Field(gt=0, le=20_000)
    arrivals: Literal["poisson", "constant"] = "poisson"
    writes: Ratio = 0.1
    keys: Keys = Keys()
    max_in_flight: int = Field(default=256, ge=1, le=10_000)
    drain: Duration = Field(default=5.0, gt=0, le=60)
