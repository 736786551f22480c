"""What is promised: each objective is a bound on a share of requests, or on a time to recover.

"p95 below 100 ms" is written as what it means: fewer than 5 % of requests slower than 100 ms. So one exact
statistic serves all ratios, and each maps onto an OpenSLO ratio metric.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from harness.spec.model import Model
from harness.spec.quantity import Duration, Ratio, duration_text, percent_text

if TYPE_CHECKING:
    from collections.abc import Iterable

SETTLED_AFTER_S = 2.0
"""A recovery phase lasts at least this much longer than the time allowed, so that staying well can be seen."""


class Slow(Model):
    """Bound the share of requests slower than `over`; failed, unfinished and unsent ones count as slow."""

    sli: Literal["slow"]
    over: Duration = Field(gt=0, le=60)
    max: Ratio = Field(gt=0, lt=1)
    of: str | None = None
    during: str = "baseline"

    @property
    def limit(self) -> float:
        """Return the bound, a ratio."""
        return self.max

    def __str__(self) -> str:
        return f"{_whose(self.of)}slow (over {duration_text(self.over)}) < {percent_text(self.max)}"


class Errors(Model):
    """Bound the share of requests that did not end well: failed, unfinished or unsent."""

    sli: Literal["errors"]
    max: Ratio = Field(gt=0, lt=1)
    of: str | None = None
    during: str = "baseline"

    @property
    def limit(self) -> float:
        """Return the bound, a ratio."""
        return self.max

    def __str__(self) -> str:
        return f"{_whose(self.of)}errors < {percent_text(self.max)}"


class Hits(Model):
    """Bound from below the share of reads that a cache level answered; a read without an answer is a miss."""

    sli: Literal["hits"]
    min: Ratio = Field(gt=0, lt=1)
    of: str | None = "read"
    levels: tuple[str, ...] = ("l1", "l2")
    during: str = "baseline"

    @property
    def limit(self) -> float:
        """Return the bound, a ratio."""
        return self.min

    def __str__(self) -> str:
        return f"hits > {percent_text(self.min)}"


class Recovery(Model):
    """Bound the time from healing to the end of the last bad second, under unchanged load."""

    sli: Literal["recovery"]
    within: Duration = Field(gt=0, le=3600)
    during: str = "recovery"

    @property
    def needs_s(self) -> float:
        """Return how long its phase must last, so that staying well is seen."""
        return self.within + SETTLED_AFTER_S

    def __str__(self) -> str:
        return f"recovery < {duration_text(self.within)}"


RatioObjective = Slow | Errors | Hits
Objective = Annotated[Slow | Errors | Hits | Recovery, Field(discriminator="sli")]
"""Any promise that a scenario may hold a service to."""


def tightest_s(objectives: Iterable[Objective]) -> float | None:
    """Return the shortest time that an objective calls slow; None if none speaks of time."""
    return min((each.over for each in objectives if isinstance(each, Slow)), default=None)


def _whose(operation: str | None) -> str:
    return f"{operation} " if operation else ""
