"""From a scenario and what was seen to a verdict: a pure function, so that the same bundle always says the same.

A ratio objective passes only if its whole one-sided bound lies on the good side of the limit, fails only if it lies
on the bad side, and is inconclusive in between. Nothing seen is nothing proved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from harness.spec.objective import Errors, Hits, Recovery, Slow
from harness.verdict.checkers.ratio import ratio_claim
from harness.verdict.checkers.recovery import recovery_claim
from harness.verdict.holm import beyond_chance
from harness.verdict.obligations import obligations
from harness.verdict.outcome import Claim, Outcome, Verdict, worst

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.history.history import History
    from harness.spec.objective import Objective
    from harness.spec.scenario import Scenario


def judge(scenario: Scenario, history: History, *, confidence: float, family: int = 1) -> Verdict:
    """Judge one experiment.

    Args:
        scenario: With all its objectives, defaults included.
        history: What was seen.
        confidence: Of each one-sided bound, and that none of the run's claims fails by chance, in (0.5, 1).
        family: How many claims the whole run makes; at least its own are counted.
    """
    own = claims_made(scenario.objectives)
    alone = [claim_of(objective, scenario, history, confidence) for objective in scenario.objectives]
    claims = beyond_chance(alone, family=max(family, own), confidence=confidence)
    met = obligations(scenario, history, claims)
    said = [(item.outcome, item.sentence) for item in met] + [(item.outcome, item.sentence) for item in claims]
    outcome = worst(outcome for outcome, _ in said) if claims else Outcome.ERROR
    return Verdict(
        scenario=scenario.scenario,
        outcome=outcome,
        sentence=_reason(outcome, [sentence for each, sentence in said if each is outcome], claims),
        obligations=met,
        claims=claims,
        confidence=confidence,
        family=max(family, own),
    )


def claim_of(objective: Objective, scenario: Scenario, history: History, confidence: float) -> Claim:
    """Judge one objective over its phase, as if it were the only one."""
    match objective:
        case Slow() | Errors() | Hits():
            return ratio_claim(objective, scenario, history, confidence)
        case Recovery():
            return recovery_claim(objective, scenario, history)
        case _:
            assert_never(objective)


def claims_made(objectives: Iterable[Objective]) -> int:
    """Return how many of `objectives` are judged by chance."""
    return sum(objective.is_statistical for objective in objectives)


def _reason(outcome: Outcome, sentences: list[str], claims: tuple[Claim, ...]) -> str:
    if not claims:
        return "error: there is no objective, and a scenario that promises nothing proves nothing"
    if outcome is Outcome.PASS:
        return f"pass: {len(claims)} objectives kept"
    more = f" (and {len(sentences) - 1} more)" if len(sentences) > 1 else ""
    said = sentences[0] if sentences[0].startswith(f"{outcome}: ") else f"{outcome}: {sentences[0]}"
    return said + more
