"""Whether all was well again in time, under unchanged load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.measure.recovery import recovery_s
from harness.spec.objective import Recovery
from harness.spec.quantity import count_text
from harness.verdict.outcome import Claim, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.history.history import History
    from harness.spec.objective import RatioObjective
    from harness.spec.scenario import Phase, Scenario


def recovery_claim(objective: Recovery, scenario: Scenario, history: History) -> Claim:
    """Judge how long it took from healing to the last bad second."""
    mark = history.phase(objective.during)
    healed = [fault.healed_s for fault in history.faults if fault.healed_s is not None]
    seen = history.during(objective.during)
    took_s = None
    # Where healing took so long that the time allowed was not watched to its end, staying well was not seen.
    if mark and healed and len(seen) and mark.ended_s - max(healed) >= objective.within:
        promises = _promises_before(scenario)
        took_s = recovery_s(history.samples, promises, healed_s=max(healed), until_s=mark.ended_s)
    outcome, sentence = _recovery_said(objective, took_s, len(seen), "; ".join(str(fault) for fault in scenario.faults))
    return Claim(
        objective=str(objective),
        sli=objective.sli,
        phase=objective.during,
        outcome=outcome,
        sentence=sentence,
        estimate=took_s,
        lower=None,
        upper=None,
        limit=objective.within,
        events=0,
        total=len(seen),
        effective=float(len(seen)),
    )


def _recovery_said(objective: Recovery, took_s: float | None, total: int, faults: str) -> tuple[Outcome, str]:
    """Say how long it took; not to be back in time, the trigger gone and the load unchanged, is called metastable.

    Source of the word: Bronson et al., Metastable Failures in Distributed Systems (HotOS 2021).
    """
    if took_s is None:
        return Outcome.INCONCLUSIVE, f"inconclusive: recovery was not seen after {faults}"
    after = f"{objective.within:g} s after {faults}; n = {count_text(total)}"
    if took_s <= objective.within:
        return Outcome.PASS, f"pass: recovery {took_s:.1f} s ≤ {after}"
    return Outcome.FAIL, f"fail: metastable: recovery {took_s:.1f} s > {after}"


def _promises_before(scenario: Scenario) -> Sequence[RatioObjective]:
    """Return what a good second keeps: the promises of the phases before the first fault."""
    before = phases_before_first_fault(scenario.phases)
    return [
        objective
        for objective in scenario.objectives
        if not isinstance(objective, Recovery) and objective.during in before
    ]


def phases_before_first_fault(phases: Sequence[Phase]) -> set[str]:
    """Return the names of the phases that nothing was injected before or in; all of them if nothing ever is."""
    first = next((index for index, phase in enumerate(phases) if phase.faults), len(phases))
    return {phase.name for phase in phases[:first]}
