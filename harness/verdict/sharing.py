"""Stories that share a stack: which can, what is left out of one that begins where another ended, and when one may.

The time before the first fault is the same in most stories: a warm-up, and a baseline that proves that the service is
well. On a stack that another story has left clean it is proved already, and a look of some seconds is enough to see
that it still is. Everything here is pure, and doubt always means a fresh stack: a verdict must never become better
because a stack was shared.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.measure.ratios import count, is_kept
from harness.spec.faults.data import disks_of
from harness.spec.objective import processors_of, recoveries_of
from harness.verdict.checkers.recovery import phases_before_first_fault, promises_before
from harness.verdict.feasible import requests_meant
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.history.history import History
    from harness.spec.clean import CleanMetric
    from harness.spec.objective import RatioObjective
    from harness.spec.phase import Phase
    from harness.spec.scenario import Scenario
    from harness.verdict.outcome import Verdict

LOOK_MIN_S = 3.0
"""The shortest look at what was proved before, seconds: of less, one bad moment of the machine is too large a part."""

ROOM_RATIO = 1.2
"""A look has so many times the requests of which a single bad one would break the tightest promise: arrivals are
random, and one bad request is no proof of an unclean state. At 200/s and 0.1 % that makes six seconds."""

FLOW_MIN_RATIO = 0.5
"""Of what was sent on an edge before the fault, a second, that is sent there again when all is over. Less means that
the service has not taken up what it had left: a pool that stayed empty sends nothing, a breaker that stayed open only
its probes. A choice, not a measurement: too high costs a fresh stack, and never a verdict."""


def why_fresh_always(scenario: Scenario) -> str:
    """Say why a scenario begins on a fresh stack whatever was there before; empty if it need not."""
    before, promised = _before(scenario), promised_before(scenario)
    if unlike := _unlike_others(scenario):
        return unlike
    if not scenario.faults:
        return "nothing is broken in it, and so the time before a fault is all that it judges"
    if not scenario.load.is_steady(0.0, scenario.longest_s):
        return f"its schedule {scenario.load.schedule.kind!r} is laid out from its beginning on"
    if len(promised) != 1:
        return f"it promises something of {len(promised)} phases before its first fault, and one can be shortened"
    if any(budget.during in before for budget in processors_of(scenario.objectives)):
        return "it has a budget of processor time before its first fault, and a look is too short to judge one"
    is_reached_before = any(point.during in before for point in scenario.sometimes)
    return "a point must be reached before its first fault" if is_reached_before else ""


def why_fresh_after(scenario: Scenario, first: Scenario, verdict: Verdict) -> str:
    """Say why a scenario cannot rest on what the first story of a stack proved; empty if it can.

    Args:
        scenario: What is to begin where other stories ended.
        first: The story that the stack was started for.
        verdict: Its verdict.
    """
    if scenario.load.model_copy(update={"keys": first.load.keys}) != first.load:
        return f"its load is another one than that of {first.scenario}, and not only in its keys"
    proved = _proved(first, verdict)
    unproved = [promise for promise in promises_before(scenario) if promise not in proved]
    return f"{first.scenario} has not proved `{unproved[0]}`, which it promises before its fault" if unproved else ""


def why_leaves_a_trace(scenario: Scenario) -> str:
    """Say why no story can begin where this one ends, however well it went; empty if one may."""
    if unlike := _unlike_others(scenario):
        return unlike
    leaving = [fault for fault in scenario.faults if fault.leaves_trace]
    return f"`{leaving[0]}` may leave a process, data or connections that were not there before" if leaving else ""


def why_not_handed_on(scenario: Scenario, verdict: Verdict) -> str:
    """Say why what a story has left behind can be no other one's beginning, by what it is and what it came to."""
    if trace := why_leaves_a_trace(scenario):
        return trace
    if verdict.outcome is not Outcome.PASS:
        return f"its verdict is {verdict.outcome}"
    last = scenario.phases[-1].name
    if scenario.faults and all(each.during != last for each in recoveries_of(scenario.objectives)):
        return f"recovery is not promised of its last phase, {last}"
    if not scenario.faults and not any(claim.phase == last for claim in verdict.claims):
        return f"nothing is promised of its last phase, {last}"
    return ""


def flows_unlike(scenario: Scenario, flows: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    """Return the edges on which clients do not send again what they sent, with the figures.

    Args:
        scenario: As it was lived through.
        flows: Bytes a second by edge, in the phase that proves that all is well before the fault, and in the last one.
            An edge on which nothing was sent before is not asked.
    """
    if not scenario.faults:
        return ()
    before = next((flows[name] for name in promised_before(scenario) if name in flows), None)
    after = flows.get(scenario.phases[-1].name)
    if before is None or after is None:
        return ("what is sent on the edges was not counted",)
    return tuple(
        f"{edge} carries {after.get(edge, 0.0):.0f} bytes a second, of {before_per_s:.0f} before the fault"
        for edge, before_per_s in sorted(before.items())
        if before_per_s > 0 and after.get(edge, 0.0) < FLOW_MIN_RATIO * before_per_s
    )


def unlike_declared(clean: Sequence[CleanMetric], said: Mapping[str, Sequence[float | None]]) -> tuple[str, ...]:
    """Return what replicas say of themselves that a clean one would not say, a clause each.

    Args:
        clean: What readiness.toml declares; nothing else is asked.
        said: By replica, the value of each of those; None where it says nothing, which is no sign of a clean one.
    """
    return tuple(
        f"{replica} says {'nothing' if value is None else format(value, 'g')} where `{bound}` is clean"
        for replica, values in said.items()
        for bound, value in zip(clean, values, strict=True)
        if value is None or not bound.allows(value)
    )


def shortened(scenario: Scenario) -> Scenario:
    """Return what is lived through of a scenario that begins where another one ended.

    Its warm-up stays, for its keys may be others. Of the phase that proves that all is well there remains a look.
    """
    before = _before(scenario)
    phases = tuple(_shortened(phase, scenario) if phase.name in before else phase for phase in scenario.phases)
    return scenario.model_copy(update={"phases": phases})


def kept_by(scenario: Scenario, verdict: Verdict) -> tuple[str, ...]:
    """Return what a story proved of the time before its first fault, a sentence each."""
    before = _before(scenario)
    return tuple(claim.sentence for claim in verdict.claims if claim.phase in before)


def unkept_before(scenario: Scenario, history: History) -> tuple[str, ...]:
    """Return the promises that the look before the first fault does not see kept, each with its figures."""
    promises = promises_before(scenario)
    looks = [(each, count(each, history.during(each.during, after_s=each.after))) for each in promises]
    return tuple(
        f"`{promise}` was not, during {promise.during}: {seen.events} of {seen.total}"
        for promise, seen in looks
        if not is_kept(promise, seen)
    )


def judged_part(scenario: Scenario, history: History) -> Scenario:
    """Return what is judged of a scenario: all of it, or, where another story vouches for it, all but the beginning."""
    return but_for_before(scenario) if history.continues else scenario


def vouched_for(scenario: Scenario, history: History) -> set[str]:
    """Return the names of the phases that another story vouches for."""
    return promised_before(scenario) if history.continues else set()


def but_for_before(scenario: Scenario) -> Scenario:
    """Return a scenario without its promises of the time before the first fault."""
    known = promises_before(scenario)
    return scenario.model_copy(
        update={"objectives": tuple(objective for objective in scenario.objectives if objective not in known)}
    )


def promised_before(scenario: Scenario) -> set[str]:
    """Return the names of the phases before the first fault that something is promised of."""
    return {promise.during for promise in promises_before(scenario)}


def _unlike_others(scenario: Scenario) -> str:
    """Say what a scenario asks of its stack that others do not; empty if nothing."""
    if scenario.environment:
        return f"it tells the service {', '.join(scenario.environment)}"
    if scenario.workers:
        return f"it has workers of its own: {', '.join(scenario.workers)}"
    if disks := disks_of(scenario.faults):
        return f"it has a disk of its own for {', '.join(disks)}"
    return f"it has a standby of {', '.join(scenario.standbys)}" if scenario.standbys else ""


def _before(scenario: Scenario) -> set[str]:
    return phases_before_first_fault(scenario.phases)


def _proved(first: Scenario, verdict: Verdict) -> list[RatioObjective]:
    """Return the promises of the time before the first fault whose claims are a pass."""
    kept = {(claim.objective, claim.phase) for claim in verdict.claims if claim.outcome is Outcome.PASS}
    return [promise for promise in promises_before(first) if (str(promise), promise.during) in kept]


def _shortened(phase: Phase, scenario: Scenario) -> Phase:
    promises = [promise for promise in promises_before(scenario) if promise.during == phase.name]
    if not promises:
        return phase
    look_s = max(promise.after + _look_s(promise, phase, scenario) for promise in promises)
    return phase.model_copy(update={"lasts": min(phase.lasts, look_s)})


def _look_s(promise: RatioObjective, phase: Phase, scenario: Scenario) -> float:
    """Return how long a look takes in which one bad request does not break the promise, in seconds."""
    if promise.is_floor:
        return LOOK_MIN_S
    per_s = requests_meant(scenario, promise) / (phase.lasts - promise.after)
    needed_s = ROOM_RATIO / (promise.limit * per_s) if per_s else phase.lasts
    return max(LOOK_MIN_S, float(math.ceil(round(needed_s, 6))))  # whole seconds; a sum of shares is off by 1e-16
