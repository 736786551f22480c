"""From a scenario and what was seen to a verdict: a pure function, so that the same bundle always says the same.

A ratio objective passes only if its whole one-sided bound lies on the good side of the limit, fails only if it lies
on the bad side, and is inconclusive in between. Nothing seen is nothing proved.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, assert_never

from harness.measure.dependence import effective_total
from harness.measure.outage import longest_outage_s
from harness.measure.ratios import Count, count, is_kept
from harness.measure.recovery import recovery_s
from harness.spec.objective import Errors, Hits, RatioObjective, Recovery, Slow
from harness.spec.quantity import count_text, percent_text
from harness.verdict.bounds import lower_bound, requests_needed, upper_bound
from harness.verdict.obligations import obligations
from harness.verdict.outcome import Claim, Outcome, Verdict, worst

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.history.history import History
    from harness.history.marks import PhaseMark
    from harness.history.samples import Samples
    from harness.spec.objective import Objective
    from harness.spec.scenario import Phase, Scenario

OUTAGE_S = 5
"""Whole seconds with at least half of the requests bad, that fail a broken promise however few it is worth."""


def judge(scenario: Scenario, history: History, *, confidence: float) -> Verdict:
    """Judge one experiment.

    Args:
        scenario: With all its objectives, defaults included.
        history: What was seen.
        confidence: Of each one-sided bound, in (0.5, 1).
    """
    met = obligations(scenario, history)
    claims = tuple(claim_of(objective, scenario, history, confidence) for objective in scenario.objectives)
    said = [(item.outcome, item.sentence) for item in met] + [(item.outcome, item.sentence) for item in claims]
    outcome = worst(outcome for outcome, _ in said) if claims else Outcome.ERROR
    return Verdict(
        scenario=scenario.scenario,
        outcome=outcome,
        sentence=_reason(outcome, [sentence for each, sentence in said if each is outcome], claims),
        obligations=met,
        claims=claims,
        confidence=confidence,
    )


def claim_of(objective: Objective, scenario: Scenario, history: History, confidence: float) -> Claim:
    """Judge one objective over its phase."""
    if isinstance(objective, Recovery):
        return _recovery_claim(objective, scenario, history)
    return _ratio_claim(objective, _label(scenario, objective.during), history, confidence)


def _ratio_claim(objective: RatioObjective, label: str, history: History, confidence: float) -> Claim:
    mark, during = history.phase(objective.during), history.during(objective.during)
    considered = during.of(objective.of) if objective.of else during
    seen = count(objective, during)
    effective = effective_total(objective, considered, mark) if mark and seen.total else 0.0
    outage_s = _outage_s(objective, considered, mark, seen)
    events = (seen.share or 0.0) * effective
    bounds = lower_bound(events, effective, confidence), upper_bound(events, effective, confidence)
    lower, upper = bounds
    outcome = Outcome.FAIL if outage_s else _outcome(objective, lower, upper)
    wish = _wish(objective, outcome, seen, effective, confidence)
    sentence = _ratio_sentence(objective, outcome, seen, bounds, label)
    return Claim(
        objective=str(objective),
        sli=objective.sli,
        phase=objective.during,
        outcome=outcome,
        sentence=sentence + _worth(seen, effective) + _lasted(outage_s) + wish,
        estimate=seen.share,
        lower=lower if seen.total else None,
        upper=upper if seen.total else None,
        limit=objective.limit,
        events=seen.events,
        total=seen.total,
        effective=round(effective, 1),
    )


def _outage_s(objective: RatioObjective, considered: Samples, mark: PhaseMark | None, seen: Count) -> int:
    """Return how long the service was gone, if that was long enough to need no bounds; else 0.

    Where the share as a whole keeps its promise, an outage was promised to be bearable. A cold cache is no outage.
    """
    if mark is None or isinstance(objective, Hits) or is_kept(objective, seen):
        return 0
    lasted_s = longest_outage_s(objective, considered, mark)
    return lasted_s if lasted_s >= OUTAGE_S else 0


def _lasted(outage_s: int) -> str:
    return f", with an outage of {outage_s} s" if outage_s else ""


def _outcome(objective: RatioObjective, lower: float, upper: float) -> Outcome:
    """Decide from the bounds alone; of no requests they are 0 and 1, which is inconclusive by itself."""
    is_below, is_above = upper < objective.limit, lower > objective.limit
    match objective:
        case Slow() | Errors():
            good, bad = is_below, is_above
        case Hits():
            good, bad = is_above, is_below
        case _:
            assert_never(objective)
    return Outcome.PASS if good else Outcome.FAIL if bad else Outcome.INCONCLUSIVE


_RELATIONS = {Outcome.PASS: ("<", ">"), Outcome.FAIL: (">", "<"), Outcome.INCONCLUSIVE: ("vs", "vs")}


def _ratio_sentence(
    objective: RatioObjective, outcome: Outcome, seen: Count, bounds: tuple[float, float], label: str
) -> str:
    """Say `fail: slow 7.9 % [7.1, 8.8] > 5 % during fault (redis +400ms); n = 6 120`."""
    name = f"{objective.of} {objective.sli}" if objective.of and objective.sli != "hits" else objective.sli
    if seen.share is None:
        return f"{outcome}: {name} unknown during {label}; no requests"
    relation = _RELATIONS[outcome][isinstance(objective, Hits)]
    low, high = (_percent(bound) for bound in bounds)
    said = f"{outcome}: {name} {_percent(seen.share)} % [{low}, {high}] {relation} {_limit(objective)}"
    return f"{said} during {label}; n = {count_text(seen.total)}"


def _worth(seen: Count, effective: float) -> str:
    """Say what the requests are worth, where they hang together so much that it shows."""
    return f", worth {count_text(int(effective))} independent ones" if effective < 0.95 * seen.total else ""


def _wish(objective: RatioObjective, outcome: Outcome, seen: Count, effective: float, confidence: float) -> str:
    """Say how many requests would have been enough, where the share itself looks good."""
    if outcome is not Outcome.INCONCLUSIVE or isinstance(objective, Hits) or not seen.total:
        return ""
    if seen.events / seen.total >= objective.limit:
        return ""
    worth = effective / seen.total
    needed = requests_needed(objective.limit, confidence, seen.events * worth) / worth
    return f", {count_text(math.ceil(needed))} would prove it with {seen.events} such"


def _recovery_claim(objective: Recovery, scenario: Scenario, history: History) -> Claim:
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
    before = _phases_before_first_fault(scenario.phases)
    return [
        objective
        for objective in scenario.objectives
        if not isinstance(objective, Recovery) and objective.during in before
    ]


def _phases_before_first_fault(phases: Sequence[Phase]) -> set[str]:
    first = next((index for index, phase in enumerate(phases) if phase.faults), len(phases))
    return {phase.name for phase in phases[:first]}


def _label(scenario: Scenario, phase_name: str) -> str:
    faults = [str(fault) for phase in scenario.phases if phase.name == phase_name for fault in phase.faults]
    return f"{phase_name} ({', '.join(faults)})" if faults else phase_name


def _reason(outcome: Outcome, sentences: list[str], claims: tuple[Claim, ...]) -> str:
    if not claims:
        return "error: there is no objective, and a scenario that promises nothing proves nothing"
    if outcome is Outcome.PASS:
        return f"pass: {len(claims)} objectives kept"
    more = f" (and {len(sentences) - 1} more)" if len(sentences) > 1 else ""
    said = sentences[0] if sentences[0].startswith(f"{outcome}: ") else f"{outcome}: {sentences[0]}"
    return said + more


def _limit(objective: RatioObjective) -> str:
    return percent_text(objective.limit).replace("%", " %")


def _percent(share: float) -> str:
    """Return a share in percent, with the digits that matter near the limits we judge (0.1 %, 5 %, 70 %)."""
    return f"{share * 100:.3f}" if share < 0.005 else f"{share * 100:.1f}"
