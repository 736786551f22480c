"""Whether all was well again in time, under unchanged load."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.measure.recovery import bad_seconds, until_last_s
from harness.spec.objective import KINDS, Recovery, ratios_of
from harness.spec.quantity import count_text
from harness.verdict.outcome import Claim, Obligation, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.history.history import History
    from harness.measure.recovery import BadSecond
    from harness.spec.objective import RatioObjective
    from harness.spec.phase import Phase
    from harness.spec.scenario import Scenario


def recovery_claim(objective: Recovery, scenario: Scenario, history: History) -> Claim:
    """Judge how long it took from healing to the last bad second."""
    bad, total = _watched(objective, scenario, history), len(history.during(objective.during))
    outcome, sentence = _recovery_said(objective, scenario, bad, total)
    return Claim(
        objective=str(objective),
        sli=objective.sli,
        phase=objective.during,
        outcome=outcome,
        sentence=sentence,
        estimate=None if bad is None else until_last_s(bad),
        lower=None,
        upper=None,
        limit=objective.within,
        events=0,
        total=total,
        effective=float(total),
    )


def recovery_seen(scenario: Scenario, claims: Sequence[Claim]) -> Iterator[Obligation]:
    """Where something is broken, see that it was watched until all was well again; too late is the claim's business."""
    if not scenario.faults:
        return
    name, asked = "recovery seen", [claim for claim in claims if KINDS.get(claim.sli) is Recovery]
    unseen = [claim for claim in asked if claim.outcome is Outcome.INCONCLUSIVE]
    if not asked:
        sentence = "no recovery was promised, so whether the service came back is not known"
        yield Obligation(name=name, outcome=Outcome.INCONCLUSIVE, sentence=sentence)
    elif unseen:
        sentence = unseen[0].sentence.removeprefix(f"{Outcome.INCONCLUSIVE}: ")
        yield Obligation(name=name, outcome=Outcome.INCONCLUSIVE, sentence=sentence)
    else:
        sentence = f"the last bad second was over {asked[-1].estimate:.1f} s after healing"
        yield Obligation(name=name, outcome=Outcome.PASS, sentence=sentence)


def shares_asked(scenario: Scenario) -> Iterator[tuple[str, RatioObjective]]:
    """Return each promise about a share with the phase it is asked of; recovery asks for those before the fault."""
    for objective in scenario.objectives:
        promises = promises_before(scenario) if isinstance(objective, Recovery) else ratios_of([objective])
        yield from ((objective.during, promise) for promise in promises)


def promises_before(scenario: Scenario) -> Sequence[RatioObjective]:
    """Return what a good second keeps: the promises of the phases before the first fault."""
    before = phases_before_first_fault(scenario.phases)
    return [objective for objective in ratios_of(scenario.objectives) if objective.during in before]


def phases_before_first_fault(phases: Sequence[Phase]) -> set[str]:
    """Return the names of the phases that nothing was injected before or in; all of them if nothing ever is."""
    first = next((index for index, phase in enumerate(phases) if phase.faults), len(phases))
    return {phase.name for phase in phases[:first]}


def _watched(objective: Recovery, scenario: Scenario, history: History) -> tuple[BadSecond, ...] | None:
    """Return the bad seconds after healing; None if they could not be seen, or told from good ones.

    Where not one whole second beyond the time allowed was watched, a late return would not have been seen.
    """
    mark = history.phase(objective.during)
    promises = [each for each in promises_before(scenario) if each.is_told(history.samples)]
    healed_s = max((fault.healed_s for fault in history.faults if fault.healed_s is not None), default=None)
    if mark is None or healed_s is None or not promises or not len(history.during(objective.during)):
        return None
    if math.floor(mark.ended_s - healed_s) <= objective.within:
        return None
    return bad_seconds(history, promises, healed_s=healed_s, until_s=mark.ended_s)


def _recovery_said(
    objective: Recovery, scenario: Scenario, bad: tuple[BadSecond, ...] | None, total: int
) -> tuple[Outcome, str]:
    """Say how long it took; not to be back in time, the trigger gone and the load unchanged, is called metastable.

    Source of the word: Bronson et al., Metastable Failures in Distributed Systems (HotOS 2021).
    """
    faults = "; ".join(str(fault) for fault in scenario.faults)
    if not promises_before(scenario):
        why = "nothing was promised before the fault, so no second is good or bad"
        return Outcome.INCONCLUSIVE, f"inconclusive: recovery after {faults} is unknown: {why}"
    if bad is None:
        return Outcome.INCONCLUSIVE, f"inconclusive: recovery was not seen after {faults}"
    took_s, after = until_last_s(bad), f"{objective.within:g} s after {faults}; n = {count_text(total)}"
    if took_s <= objective.within:
        return Outcome.PASS, f"pass: recovery {took_s:.1f} s ≤ {after}"
    if until_last_s([second for second in bad if second.is_services]) <= objective.within:
        said = f"inconclusive: recovery {took_s:.1f} s vs {after}"
        return Outcome.INCONCLUSIVE, f"{said}, but in the late bad seconds the control broke as well, or was not asked"
    return Outcome.FAIL, f"fail: metastable: recovery {took_s:.1f} s > {after}"
