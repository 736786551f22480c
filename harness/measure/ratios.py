"""Every ratio objective as a count: how many of how many.

What cannot be shown to be good counts as bad. A request that failed, never finished, or was never sent is an error,
is slow, and is no hit: a service cannot get faster by failing fast, nor better by not answering.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.history.samples import Samples
    from harness.spec.objective import RatioObjective


@dataclass(frozen=True, slots=True)
class Count:
    """`events` of `total` requests.

    Attributes:
        events: Requests that the objective counts: slow ones, errors, or hits.
        total: Requests looked at.
    """

    events: int
    total: int

    @property
    def share(self) -> float | None:
        """Return events / total, or None if there is nothing to divide."""
        return self.events / self.total if self.total else None


def count(objective: RatioObjective, samples: Samples) -> Count:
    """Count what `objective` is about in `samples`; nothing where they do not tell it."""
    if not objective.is_told(samples):
        return Count(0, 0)
    considered = samples.of(objective.of) if objective.of else samples
    return Count(int(objective.counts(considered).sum()), len(considered))


def is_kept(objective: RatioObjective, seen: Count) -> bool:
    """Tell whether the bare share keeps the promise; of no requests nothing was kept."""
    if seen.share is None:
        return False
    return seen.share > objective.limit if objective.is_floor else seen.share < objective.limit
