"""A share of those that were seen, and what it proves: what promises of requests and of seconds have in common.

Bounds are exact for as many independent ones as those that were seen are worth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.verdict.bounds import lower_bound, requests_needed, upper_bound
from harness.verdict.checkers.wording import stable
from harness.verdict.holm import p_value
from harness.verdict.looks import p_value_at
from harness.verdict.outcome import Claim

if TYPE_CHECKING:
    from harness.measure.ratios import Count
    from harness.spec.objective import ShareObjective
    from harness.verdict.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Share:
    """How many of those that were seen count, and between which bounds the share in truth is.

    Attributes:
        seen: Requests or seconds, as they were counted.
        effective: How many independent ones they are worth; 0 where there are none.
        confidence: Of each bound, in (0.5, 1).
    """

    seen: Count
    effective: float
    confidence: float

    @property
    def events(self) -> float:
        """Return how many of the independent ones count."""
        return (self.seen.share or 0.0) * self.effective

    @property
    def lower(self) -> float:
        """Return the one-sided lower bound; 0 of none."""
        return lower_bound(self.events, self.effective, self.confidence)

    @property
    def upper(self) -> float:
        """Return the one-sided upper bound; 1 of none."""
        return upper_bound(self.events, self.effective, self.confidence)

    @property
    def is_worth_less(self) -> bool:
        """Tell whether they are worth so much fewer independent ones that a reader wants to know."""
        return self.effective < 0.95 * self.seen.total

    def needed(self, limit: float) -> int:
        """Return of how many like these, with the same events, the share would be proved to be below `limit`."""
        worth = self.effective / self.seen.total
        return math.ceil(requests_needed(limit, self.confidence, self.seen.events * worth) / worth)

    def chance(self, objective: ShareObjective, confidence: float) -> float:
        """Return the p-value of a promise, over all looks: of `confidence` together, where this look has its part."""
        p = p_value(objective, self.events, self.effective)
        return p_value_at(p, sure=self.confidence, confidence=confidence)


def share_claim(
    objective: ShareObjective, share: Share, outcome: Outcome, sentence: str, *, p_value: float | None
) -> Claim:
    """Return the claim; of none that was seen it has neither bounds nor a p-value."""
    seen = share.seen
    return Claim(
        objective=str(objective),
        sli=objective.sli,
        phase=objective.during,
        outcome=outcome,
        sentence=sentence,
        estimate=seen.share,
        lower=stable(share.lower) if seen.total else None,
        upper=stable(share.upper) if seen.total else None,
        limit=objective.limit,
        events=seen.events,
        total=seen.total,
        effective=round(share.effective, 1),
        p_value=p_value if seen.total else None,
    )
