"""What may be chance: many promises are judged in one run, and one in twenty looks broken by accident at 95 %.

Holm's procedure keeps the chance that *any* of a run's promises is called broken by accident below 1 - confidence. The
claims of other experiments are not known yet when one is judged, so they are taken as not broken, which can only make
it more careful.

Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure (1979).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.verdict.bounds import beta_cdf
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.spec.objective import ShareObjective
    from harness.verdict.outcome import Claim


def p_value(objective: ShareObjective, events: float, total: float) -> float:
    """Return the chance to see this, or worse, of a service that just keeps `objective`; at most 1.

    Args:
        objective: The promise.
        events: What it counts, in independent requests, or seconds.
        total: Of so many.
    """
    limit = objective.limit
    if objective.is_floor:
        return 1.0 if events >= total else 1 - beta_cdf(limit, events + 1, total - events)
    return 1.0 if events <= 0 else beta_cdf(limit, events, total - events + 1)


def beyond_chance(claims: Sequence[Claim], *, family: int, confidence: float) -> tuple[Claim, ...]:
    """Return `claims`, where those that may be broken by chance are inconclusive.

    Args:
        claims: Of one experiment. Only those with a p-value are asked: an outage, or not to recover, is no chance.
        family: How many claims the whole run makes; at least as many as `claims` has with a p-value.
        confidence: That none of the run's claims fails by chance.
    """
    failing = sorted((each for each in claims if _is_statistical(each)), key=lambda claim: claim.p_value or 0.0)
    open_claims: dict[int, float] = {}
    for index, claim in enumerate(failing):
        level = (1 - confidence) / max(1, family - index)
        if open_claims or (claim.p_value or 0.0) > level:
            open_claims[id(claim)] = level
    return tuple(
        _opened(claim, open_claims[id(claim)], family) if id(claim) in open_claims else claim for claim in claims
    )


def _is_statistical(claim: Claim) -> bool:
    return claim.outcome is Outcome.FAIL and claim.p_value is not None


def _opened(claim: Claim, level: float, family: int) -> Claim:
    said = claim.sentence.removeprefix(f"{Outcome.FAIL}: ")
    doubt = f"of {family} promises one may look so by chance (p = {claim.p_value:.2g}, Holm asks for {level:.2g})"
    return replace(claim, outcome=Outcome.INCONCLUSIVE, sentence=f"{Outcome.INCONCLUSIVE}: {said}; but {doubt}")
