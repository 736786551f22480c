"""Can this scenario prove its promises at all? Asked before anything is started.

A gate that cannot conclude ends `inconclusive` at best, after minutes; one that cannot fail is worse than none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.errors import SpecError
from harness.spec.objective import ratios_of, recoveries_of
from harness.spec.quantity import count_text, duration_text
from harness.verdict.bounds import requests_needed
from harness.verdict.checkers.recovery import promises_before
from harness.verdict.looks import confidence_at

if TYPE_CHECKING:
    from harness.spec.objective import RatioObjective
    from harness.spec.scenario import Scenario


def check_can_conclude(scenario: Scenario, confidence: float) -> None:
    """See that every promise could be proved, if only all went well.

    Args:
        scenario: As it will be run: with all objectives, stretched by its profile.
        confidence: Of each one-sided bound, in (0.5, 1).

    Raises:
        SpecError: If one cannot; it says how many requests it would take, and how many the scenario sends.
    """
    _check_survival_can_be_seen(scenario)
    for objective in ratios_of(scenario.objectives):
        needed, sent = _most_favourable(objective, scenario, confidence)
        if sent < needed:
            what = f"`{objective}` during {objective.during} needs {count_text(needed)} {objective.ideal} requests"
            raise SpecError(
                f"{what}, this profile sends {count_text(int(sent))}",
                where=f"scenario {scenario.scenario}: objectives",
                fix=f"raise load.arrivals_per_s, or make the phase {objective.during} longer, or loosen the promise",
            )


def _check_survival_can_be_seen(scenario: Scenario) -> None:
    """See that something is promised before the first fault and after the last: nothing else shows that it held.

    Raises:
        SpecError: If not; or if recovery is promised where nothing is broken, or before all is healed.
    """
    where, after = f"scenario {scenario.scenario}", _after_last_fault(scenario)
    recovery = recoveries_of(scenario.objectives)
    early = [objective for objective in recovery if objective.during not in after]
    if early:
        what = f"`{early[0]}` during {early[0].during} can never be seen: nothing has been broken and healed by then"
        raise SpecError(what, where=where, fix="promise it of a phase after the last fault, or leave it out")
    if scenario.faults and not promises_before(scenario):
        fix = "name the phase before it `baseline`, where readiness.toml's defaults hold, or promise something of it"
        what = "nothing is promised before the first fault, and a dead service would not mind it"
        raise SpecError(what, where=where, fix=fix)
    lasts_s = {phase.name: phase.lasts for phase in scenario.phases}
    hasty = [objective for objective in recovery if lasts_s[objective.during] < objective.needs_s]
    if hasty:
        needed, lasts = duration_text(hasty[0].needs_s), duration_text(lasts_s[hasty[0].during])
        what = f"`{hasty[0]}` needs the phase {hasty[0].during!r} to last {needed}, this profile makes it {lasts}"
        raise SpecError(what, where=where, fix="make the phase longer, or the profile's stretch greater")
    if scenario.faults and not recovery:
        fix = f"add an objective such as {{sli: recovery, within: 5s, during: {after[0]}}}"
        raise SpecError("something is broken, and recovery from it is not promised", where=where, fix=fix)


def _after_last_fault(scenario: Scenario) -> list[str]:
    """Return the names of the phases that nothing is injected in or after, where something was before."""
    last = max((index for index, phase in enumerate(scenario.phases) if phase.faults), default=len(scenario.phases))
    return [phase.name for phase in scenario.phases[last + 1 :]]


def _most_favourable(objective: RatioObjective, scenario: Scenario, confidence: float) -> tuple[int, float]:
    """Return how many requests are needed and sent, at the look that comes closest: a later one sees more."""
    sent, most = requests_meant(scenario, objective), scenario.looks_during(objective.during)
    looks = [
        (
            fewest_requests(objective, confidence_at(look, looks=most, confidence=confidence)),
            sent * 2 ** (look - 1),
        )
        for look in range(1, most + 1)
    ]
    return min(looks, key=lambda look: look[0] / max(1.0, look[1]))


def fewest_requests(objective: RatioObjective, confidence: float) -> int:
    """Return how many requests prove `objective` if not one of them is bad."""
    if not objective.is_floor:
        return requests_needed(objective.limit, confidence)
    # The lower bound of n hits in n is (1 - confidence)^(1/n); it has to come above the limit.
    return math.floor(math.log(1 - confidence) / math.log(objective.limit)) + 1


def requests_meant(scenario: Scenario, objective: RatioObjective) -> float:
    """Return how many requests of its kind the schedule has for the objective's phase, on average."""
    expected = sum(
        scenario.load.expected(min(began_s + objective.after, end_s), end_s)
        for phase, began_s, end_s in scenario.windows
        if phase.name == objective.during
    )
    if not objective.of:
        return expected
    return expected * scenario.load.share_of((objective.of,) if isinstance(objective.of, str) else objective.of)
