"""What the sentences of all claims about a share have in common: `slow 7.9 % [7.1, 8.8] > 5 %`, and of what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.spec.quantity import percent_text
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from harness.spec.objective import OfPhase, ShareObjective
    from harness.spec.scenario import Scenario

_RELATIONS = {Outcome.PASS: ("<", ">"), Outcome.FAIL: (">", "<"), Outcome.INCONCLUSIVE: ("vs", "vs")}


def share_text(objective: ShareObjective, outcome: Outcome, share: float, bounds: tuple[float, float]) -> str:
    """Say `fail: slow 7.9 % [7.1, 8.8] > 5 %`: the outcome, the share with its bounds, and the limit."""
    relation = _RELATIONS[outcome][objective.is_floor]
    within = ", ".join(map(_percent, bounds))
    limit = percent_text(objective.limit).replace("%", " %")
    return f"{outcome}: {objective.measured} {_percent(share)} % [{within}] {relation} {limit}"


def label_of(scenario: Scenario, objective: OfPhase) -> str:
    """Name the part of the run that a promise is about: its phase with the faults in it."""
    named = objective.during
    faults = [str(fault) for phase in scenario.phases if phase.name == named for fault in phase.faults]
    return (f"{named} ({', '.join(faults)})" if faults else named) + objective.since


def stable(share: float) -> float:
    """Return a bound without the digits in which two machines' mathematics may differ."""
    return round(share, 9)


def _percent(share: float) -> str:
    """Return a share in percent, with the digits that matter near the limits we judge (0.1 %, 5 %, 70 %)."""
    return f"{share * 100:.3f}" if share < 0.005 else f"{share * 100:.1f}"
