"""One invariant, judged: the first counterexample breaks it, and what was never exercised is not known to hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.spec.quantity import count_text
from harness.verdict.outcome import Claim, Outcome

if TYPE_CHECKING:
    from harness.measure.invariants.finding import Finding
    from harness.spec.invariant import Invariant

ALWAYS = "all phases"
"""What an invariant is judged over, where an objective names a phase."""

EVERYWHERE = "all phases of every scenario"
"""The same of one that readiness.toml holds every scenario to."""


def invariant_claim(invariant: Invariant, found: Finding) -> Claim:
    """Judge one invariant.

    Args:
        invariant: The promise.
        found: What looking for a counterexample came to.
    """
    outcome, said = _outcome(found)
    return Claim(
        objective=str(invariant),
        sli=invariant.kind,
        phase=ALWAYS,
        outcome=outcome,
        sentence=f"{outcome}: {invariant} {said}",
        estimate=float(found.broken) if found.checked or found.first else None,
        lower=None,
        upper=None,
        limit=0.0,
        events=found.broken,
        total=found.checked,
        effective=float(found.checked),
    )


def _outcome(found: Finding) -> tuple[Outcome, str]:
    also = f"; {found.also}" if found.also else ""
    if found.first is not None:
        more = f" (and {count_text(found.broken - 1)} more)" if found.broken > 1 else ""
        return Outcome.FAIL, f"is broken: {found.first.sentence}{more}{also}"
    if not found.checked:
        return Outcome.INCONCLUSIVE, f"was never exercised: {found.wanted}"
    return Outcome.PASS, f"held; n = {count_text(found.checked)}{also}"
