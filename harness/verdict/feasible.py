"""Can this scenario prove its promises at all? Asked before anything is started.

A gate that cannot conclude ends `inconclusive` at best, after minutes; one that cannot fail is worse than none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import SpecError, all_of
from harness.history.machine import NOISE_S
from harness.spec.objective import Processor, RatioObjective, Recovery, recoveries_of
from harness.spec.quantity import count_text, duration_text
from harness.verdict.bounds import requests_needed
from harness.verdict.checkers.recovery import promises_before
from harness.verdict.looks import confidence_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.spec.objective import ShareObjective
    from harness.spec.scenario import Scenario


class Unprovable(NamedTuple):
    """Something that a scenario could not prove, however well all went.

    Attributes:
        objective: Which of its objectives it is about, from 0; None if it is about the scenario.
        what: What cannot be proved, and why.
        fix: How to mend it.
    """

    objective: int | None
    what: str
    fix: str


class Evidence(NamedTuple):
    """What it takes to prove a promise about a share, and what there will be.

    Attributes:
        needed: The fewest requests that prove it, if not one of them is bad; of a budget of processor time, seconds.
        sent: How many requests of its kind the schedule has for its phase, on average; or how many seconds that has.
    """

    needed: int
    sent: float


def check_can_conclude(scenario: Scenario, confidence: float) -> None:
    """See that every promise could be proved, if only all went well.

    Args:
        scenario: As it will be run: with all objectives, stretched by its profile.
        confidence: Of each one-sided bound, in (0.5, 1).

    Raises:
        SpecError: If one cannot; it says how many requests it would take, and how many the scenario sends.
    """
    where = f"scenario {scenario.scenario}"
    mistakes = [
        SpecError(each.what, where=where if each.objective is None else f"{where}: objectives", fix=each.fix)
        for each in unprovable(scenario, confidence)
    ]
    if mistakes:
        raise all_of(mistakes)


def unprovable(scenario: Scenario, confidence: float) -> Iterator[Unprovable]:
    """Find everything that could not be proved; arguments are those of `check_can_conclude`."""
    yield from _survival_not_seen(scenario)
    for index, objective in enumerate(scenario.objectives):
        if isinstance(objective, Processor):
            yield from _budget_not_proved(index, objective, scenario, confidence)
        if not isinstance(objective, RatioObjective):
            continue
        needed, sent = evidence(objective, scenario, confidence)
        if not sent:
            what = f"`{objective}` is about what nobody asks during {objective.during}"
            yield Unprovable(index, what, "give it a weight, let a fault of that phase ask it, or let there be a rate")
        elif sent < needed:
            what = f"`{objective}` during {objective.during} needs {count_text(needed)} {objective.ideal} requests"
            yield Unprovable(
                index,
                f"{what}, this profile sends {count_text(int(sent))}",
                f"raise load.arrivals_per_s, or make the phase {objective.during} longer, or loosen the promise",
            )


def _budget_not_proved(index: int, objective: Processor, scenario: Scenario, confidence: float) -> Iterator[Unprovable]:
    """See that a budget has seconds enough, and is more in each than what cannot be told from nothing."""
    needed, there = evidence(objective, scenario, confidence)
    named = f"`{objective}` during {objective.during}"
    if there < needed:
        what = (
            f"{named} needs {count_text(needed)} {objective.ideal} seconds, this profile has {count_text(int(there))}"
        )
        yield Unprovable(index, what, f"make the phase {objective.during} longer, or loosen the promise")
    per_s = _rate_per_s(scenario, objective)
    if 0 < (budget_s := round(objective.over * per_s, 6)) < NOISE_S:
        least = duration_text(math.ceil(1000 * NOISE_S / per_s) / 1000)
        what = f"{named} is {duration_text(round(budget_s, 4))} of processor time a second at this rate"
        yield Unprovable(
            index,
            f"{what}, and less than {duration_text(NOISE_S)} is noise: it is counted in ticks of 10 ms",
            f"let `over` be {least} or more, or raise load.arrivals_per_s",
        )


def _survival_not_seen(scenario: Scenario) -> Iterator[Unprovable]:
    """See whether something is promised before the first fault and after the last: nothing else shows that it held.

    Nor can recovery be promised where nothing is broken, or before all is healed.
    """
    after, recovery = _after_last_fault(scenario), recoveries_of(scenario.objectives)
    lasts_s = {phase.name: phase.lasts for phase in scenario.phases}
    for index, objective in enumerate(scenario.objectives):
        if not isinstance(objective, Recovery):
            continue
        if objective.during not in after:
            what = (
                f"`{objective}` during {objective.during} can never be seen: nothing has been broken and healed by then"
            )
            yield Unprovable(index, what, "promise it of a phase after the last fault, or leave it out")
        elif lasts_s[objective.during] < objective.needs_s:
            needed, lasts = duration_text(objective.needs_s), duration_text(lasts_s[objective.during])
            what = f"`{objective}` needs the phase {objective.during!r} to last {needed}, this profile makes it {lasts}"
            yield Unprovable(index, what, "make the phase longer, or the profile's stretch greater")
    if scenario.faults and not promises_before(scenario):
        fix = "name the phase before it `baseline`, where readiness.toml's defaults hold, or promise something of it"
        yield Unprovable(None, "nothing is promised before the first fault, and a dead service would not mind it", fix)
    if scenario.faults and not recovery:
        fix = f"add an objective such as {{sli: recovery, within: 5s, during: {after[0]}}}"
        yield Unprovable(None, "something is broken, and recovery from it is not promised", fix)


def _after_last_fault(scenario: Scenario) -> list[str]:
    """Return the names of the phases that nothing is injected in or after, where something was before."""
    last = max((index for index, phase in enumerate(scenario.phases) if phase.faults), default=len(scenario.phases))
    return [phase.name for phase in scenario.phases[last + 1 :]]


def evidence(objective: ShareObjective, scenario: Scenario, confidence: float) -> Evidence:
    """Return how many requests, or seconds, are needed and sent, at the look that comes closest."""
    looks = range(1, scenario.looks_during(objective.during) + 1)
    found = [evidence_at(look, objective, scenario, confidence) for look in looks]
    return min(found, key=lambda each: each.needed / max(1.0, each.sent))


def evidence_at(look: int, objective: ShareObjective, scenario: Scenario, confidence: float) -> Evidence:
    """Return the same at one look, 1 being the first: before each but that, the phase has become twice as long."""
    most = scenario.looks_during(objective.during)
    there = (
        _seconds_of(scenario, objective) if isinstance(objective, Processor) else requests_meant(scenario, objective)
    )
    return Evidence(
        needed=fewest_requests(objective, confidence_at(look, looks=most, confidence=confidence)),
        sent=there * 2 ** (look - 1),
    )


def fewest_requests(objective: ShareObjective, confidence: float) -> int:
    """Return how many requests, or seconds, prove `objective` if not one of them is bad."""
    if not objective.is_floor:
        return requests_needed(objective.limit, confidence)
    # The lower bound of n hits in n is (1 - confidence)^(1/n); it has to come above the limit.
    return math.floor(math.log(1 - confidence) / math.log(objective.limit)) + 1


def requests_meant(scenario: Scenario, objective: RatioObjective) -> float:
    """Return how many requests of its kind the schedule has for the objective's phase, on average."""
    names = (objective.of,) if isinstance(objective.of, str) else objective.of or ()
    return sum(
        scenario.expected(min(began_s + objective.after, end_s), end_s, names)
        for phase, began_s, end_s in scenario.windows
        if phase.name == objective.during
    )


def _seconds_of(scenario: Scenario, objective: Processor) -> int:
    """Return how many whole seconds a budget's part of its phase has."""
    lasts_s = next(phase.lasts for phase in scenario.phases if phase.name == objective.during) - objective.after
    return math.floor(round(lasts_s, 6))  # a difference of decimals is off by 1e-16


def _rate_per_s(scenario: Scenario, objective: Processor) -> float:
    """Return how many requests a second come in a budget's part of its phase, on average."""
    began_s, ended_s = next(
        (began_s + objective.after, ended_s)
        for phase, began_s, ended_s in scenario.windows
        if phase.name == objective.during
    )
    return scenario.load.expected(began_s, ended_s) / (ended_s - began_s)
