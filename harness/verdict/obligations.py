"""What must have happened for a verdict to mean anything; what is missing can never be a pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import DoomedError, StarvedError, SubjectError, UnavailableError
from harness.history.samples import SampleOutcome
from harness.spec.external import SUBJECT
from harness.spec.quantity import duration_text
from harness.spec.sometimes import Answered
from harness.spec.timeline import LATE_RATIO
from harness.verdict.checkers.recovery import phases_before_first_fault, recovery_seen
from harness.verdict.outcome import Obligation, Outcome, worst
from harness.verdict.sharing import unkept_before, vouched_for
from harness.verdict.validity import load_validity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.history.history import History
    from harness.history.marks import Beginning, FaultMark, PointMark
    from harness.spec.scenario import Scenario
    from harness.verdict.outcome import Claim

PHASE_TOLERANCE_RATIO = 0.02
"""A phase may be this much shorter than asked for; timers are late, never early, so any more was cut off."""


NOTHING_WAS_ASKED = {
    UnavailableError.kind: Outcome.INCONCLUSIVE,
    DoomedError.kind: Outcome.INCONCLUSIVE,
    SubjectError.kind: Outcome.FAIL,
    StarvedError.kind: Outcome.INCONCLUSIVE,
}
"""What ends an experiment before its first request, and what it means; any other failure is an error of the harness."""


def obligations(scenario: Scenario, history: History, claims: Sequence[Claim]) -> tuple[Obligation, ...]:
    """Check every obligation of an experiment, in the order in which things happen.

    Args:
        scenario: As it was run.
        history: What was seen.
        claims: What is said of its promises; a service that is not well before the fault cannot show how it takes it.
    """
    if any(failure.kind in NOTHING_WAS_ASKED for failure in history.failures):
        return (_ran_to_the_end(history),)
    return (
        _ran_to_the_end(history),
        _load_delivered(history),
        *_phases_complete(scenario, history),
        *_began(history),
        *_well_before(scenario, history, claims),
        *_faults_delivered(scenario, history),
        *_faults_gone(history),
        *recovery_seen(scenario, claims),
        *_faults_crossed(history),
        *_points_reached(scenario, history),
        *load_validity(scenario, history),
    )


def _ran_to_the_end(history: History) -> Obligation:
    if history.failures:
        first = history.failures[0]
        outcome = worst(NOTHING_WAS_ASKED.get(failure.kind, Outcome.ERROR) for failure in history.failures)
        return Obligation(name="ran to the end", outcome=outcome, sentence=str(first))
    return Obligation(name="ran to the end", outcome=Outcome.PASS, sentence="nothing broke off")


def _load_delivered(history: History) -> Obligation:
    tally, name = history.tally, "load delivered"
    if tally is None:
        return Obligation(name=name, outcome=Outcome.ERROR, sentence="the load generator never gave its count")
    if not tally.issued:
        return Obligation(name=name, outcome=Outcome.INCONCLUSIVE, sentence="not one request was issued")
    if not tally.issued == tally.accounted == len(history.samples):
        sentence = f"{tally.issued} issued, {tally.accounted} accounted for, {len(history.samples)} recorded"
        return Obligation(name=name, outcome=Outcome.ERROR, sentence=f"requests went missing: {sentence}")
    sentence = (
        f"{tally.issued} issued = {tally.ok} ok + {tally.failed} failed"
        f" + {tally.unfinished} unfinished + {tally.not_sent} not sent"
    )
    sentence += f" + {tally.cancelled} given up by their clients" if tally.cancelled else ""
    sentence += f" + {tally.prevented} prevented by the generator's machine" if tally.prevented else ""
    sentence += f"; {nameless}" if (nameless := history.samples.nameless()) else ""
    return Obligation(name=name, outcome=Outcome.PASS, sentence=sentence)


def _phases_complete(scenario: Scenario, history: History) -> Iterator[Obligation]:
    for phase in scenario.phases:
        name, mark = f"phase {phase.name} complete", history.phase(phase.name)
        if mark is None:
            yield Obligation(name=name, outcome=Outcome.INCONCLUSIVE, sentence="it was never reached")
        elif mark.was_stopped:
            sentence = f"it was ended after {mark.lasted_s:.1f} s, because a promise was broken beyond doubt"
            yield Obligation(name=name, outcome=Outcome.INCONCLUSIVE, sentence=sentence)
        elif mark.lasted_s < phase.lasts * (1 - PHASE_TOLERANCE_RATIO):
            sentence = f"it was cut short: {mark.lasted_s:.1f} s of {phase.lasts:g} s"
            yield Obligation(name=name, outcome=Outcome.INCONCLUSIVE, sentence=sentence)
        else:
            yield Obligation(name=name, outcome=Outcome.PASS, sentence=f"it lasted {mark.lasted_s:.1f} s")


def _began(history: History) -> Iterator[Obligation]:
    """Say on what a story began, in a run whose stories share stacks."""
    beginning, name = history.beginning, "a clean beginning"
    if beginning is None:
        return
    if beginning.after:
        sentence = f"where {beginning.after[-1]} ended: {'; '.join(beginning.seen)}"
    else:
        sentence = "a fresh stack" + (f", because {beginning.why_fresh}" if beginning.why_fresh else "")
    yield Obligation(name=name, outcome=Outcome.PASS, sentence=sentence)


def _well_before(scenario: Scenario, history: History, claims: Sequence[Claim]) -> Iterator[Obligation]:
    """Where something is broken, see that all was well until then: a dead service does not suffer from a fault."""
    if not scenario.faults:
        return
    before, name = phases_before_first_fault(scenario.phases), "promises kept before the fault"
    if history.beginning and history.continues:
        yield _still_well(name, scenario, history, history.beginning)
        return
    asked = [claim for claim in claims if claim.phase in before]
    unkept = [claim for claim in asked if claim.outcome is not Outcome.PASS]
    if not asked:
        sentence = "nothing was promised, so whether the service was well is not known"
        yield Obligation(name=name, outcome=Outcome.INCONCLUSIVE, sentence=sentence)
    elif unkept:
        sentence = f"`{unkept[0].objective}` was not, during {unkept[0].phase}: {unkept[0].outcome}"
        yield Obligation(name=name, outcome=Outcome.INCONCLUSIVE, sentence=sentence)
    else:
        yield Obligation(name=name, outcome=Outcome.PASS, sentence=f"{len(asked)} of {len(asked)}")


def _still_well(name: str, scenario: Scenario, history: History, beginning: Beginning) -> Obligation:
    """See in the look before the fault that what the first story of a stack proved still holds."""
    unkept = unkept_before(scenario, history)
    if unkept or not beginning.kept:
        unproved = f"nothing is said of what {beginning.after[0]} proved"
        return Obligation(name=name, outcome=Outcome.INCONCLUSIVE, sentence=(*unkept, unproved)[0])
    marks = [mark for phase in vouched_for(scenario, history) if (mark := history.phase(phase))]
    looked = duration_text(round(sum(mark.lasted_s for mark in marks), 1))
    sentence = f"as {beginning.after[0]} proved of {len(beginning.kept)}, and still in a look of {looked}"
    return Obligation(name=name, outcome=Outcome.PASS, sentence=sentence)


def _faults_gone(history: History) -> Iterator[Obligation]:
    for mark in history.faults:
        name = f"fault gone: {mark.fault}"
        if mark.healed_s is None:
            yield Obligation(name=name, outcome=Outcome.INCONCLUSIVE, sentence="it was never healed")
        else:
            yield Obligation(name=name, outcome=Outcome.PASS, sentence=f"it was healed at {mark.healed_s:.1f} s")


def _faults_delivered(scenario: Scenario, history: History) -> Iterator[Obligation]:
    """Ask of every fault whether it was there as planned, in its own window, and of the window's length."""
    marks = {mark.id: mark for mark in history.faults}
    for action in scenario.actions:
        name, mark = f"fault delivered: {action.spec}", marks.get(action.id)
        if mark is None:
            yield Obligation(name=name, outcome=Outcome.INCONCLUSIVE, sentence="it was never injected")
        elif (late_s := _late_s(mark, history)) > LATE_RATIO * action.lasts_s:
            sentence = f"it was there {late_s:.1f} s after its window of {action.lasts_s:g} s had begun"
            yield Obligation(name=name, outcome=Outcome.INCONCLUSIVE, sentence=sentence)
        elif not mark.is_delivered:
            unseen = next((dose.seen for dose in mark.doses if not dose.is_delivered), "its dose was not looked at")
            yield Obligation(name=name, outcome=Outcome.INCONCLUSIVE, sentence=unseen)
        else:
            yield Obligation(name=name, outcome=Outcome.PASS, sentence=mark.doses[-1].seen)


def _late_s(mark: FaultMark, history: History) -> float:
    """Return how long after its window had begun a fault was there; before there were windows, after its phase had."""
    if mark.planned is not None:
        return mark.injected_s - mark.planned[0]
    phase = history.phase(mark.phase)
    return mark.injected_s - phase.began_s if phase else 0.0


def _faults_crossed(history: History) -> Iterator[Obligation]:
    """See that the load needs what the fault takes away: a service survives what it never meets.

    What a fault lets through is counted while it is there; where it refuses everything, what was sent on its paths
    from the load's beginning until then.
    """
    for mark in history.faults:
        if not mark.target:
            continue  # a fault of the load is the load's own doing, and its dose is what was sent
        if mark.crossed_bytes is not None:
            yield _crossed(f"traffic crossed the fault: {mark.fault}", mark.crossed_bytes, "through it")
        else:
            yield _needed(mark, history)


def _needed(mark: FaultMark, history: History) -> Obligation:
    """See that the load needs what a fault took away: what was sent there before, or what it had answered by then."""
    name = f"the load needs what is hurt: {mark.fault}"
    if mark.before_bytes is not None:
        return _crossed(name, mark.before_bytes, "on these paths before")
    count = _answers_before(mark, history)
    if not count:
        sentence = f"what was sent there was not counted, and no answer named {mark.target} before"
        return Obligation(name=name, outcome=Outcome.INCONCLUSIVE, sentence=sentence)
    return Obligation(name=name, outcome=Outcome.PASS, sentence=f"{count} answers came from {mark.target} before")


def _answers_before(mark: FaultMark, history: History) -> int:
    """Count the good answers until a fault began: of the judged service all, of anything else those that name it."""
    samples = history.samples
    came_s = samples.records["intended_s"] + samples.records["latency_s"]
    before = samples.keep(samples.is_ok() & (came_s < mark.injected_s))
    is_its = before.is_named("replica", before.replicas, [mark.target])
    return len(before) if mark.target == SUBJECT else int(is_its.sum())


def _crossed(name: str, sent_bytes: int, where: str) -> Obligation:
    if not sent_bytes:
        sentence = f"the service sent not one byte {where}; this load does not need that path"
        return Obligation(name=name, outcome=Outcome.INCONCLUSIVE, sentence=sentence)
    sentence = f"the service sent {sent_bytes / 1000:.1f} kB {where}"
    return Obligation(name=name, outcome=Outcome.PASS, sentence=sentence)


def _points_reached(scenario: Scenario, history: History) -> Iterator[Obligation]:
    """See that what should answer the fault was called upon: a breaker that never opened survived nothing."""
    marks = {(mark.phase, mark.point): mark for mark in history.points}
    for point in scenario.sometimes:
        name = f"reached during {point.during}: {point}"
        if isinstance(point, Answered):
            yield _answered(name, point, history)
        else:
            yield _measured(name, marks.get((point.during, str(point))))


def _answered(name: str, point: Answered, history: History) -> Obligation:
    during = history.during(point.during)
    is_theirs = during.came_from(point.by) | during.is_named("replica", during.replicas, [point.by])
    count = int((is_theirs & during.has_outcome(SampleOutcome.OK)).sum())
    outcome = Outcome.PASS if count else Outcome.INCONCLUSIVE
    return Obligation(name=name, outcome=outcome, sentence=f"{count} of {len(during)} answers came from {point.by}")


def _measured(name: str, mark: PointMark | None) -> Obligation:
    if mark is None or not mark.seen:
        sentence = "no replica said anything of it; is the metric's name right, and `metrics` of the subject?"
        return Obligation(name=name, outcome=Outcome.INCONCLUSIVE, sentence=sentence)
    if mark.reached_s is None:
        return Obligation(name=name, outcome=Outcome.INCONCLUSIVE, sentence=f"never reached; last seen {mark.seen}")
    return Obligation(name=name, outcome=Outcome.PASS, sentence=f"{mark.seen}, at {mark.reached_s:.1f} s")
