"""One promise about a share of requests, judged over its phase: bounds decide, and the sentence holds the numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.history.machine import Taken, taken_between
from harness.history.samples import SampleOutcome
from harness.measure.control import (
    computed_between,
    computed_count,
    control_count,
    controls_s,
    is_computing_broken,
    is_control_broken,
)
from harness.measure.effective_sample import effective_total
from harness.measure.machine import CLEAN_SECONDS_MIN, is_excused
from harness.measure.outage import longest_outage_s
from harness.measure.ratios import Count, count, is_kept
from harness.spec.quantity import count_text
from harness.verdict.checkers.share import Share, share_claim
from harness.verdict.checkers.wording import label_of, share_text
from harness.verdict.looks import confidence_at
from harness.verdict.outcome import Outcome
from harness.verdict.sequential import is_hopeless

if TYPE_CHECKING:
    from harness.history.history import History
    from harness.history.marks import PhaseMark
    from harness.history.samples import Samples
    from harness.spec.objective import RatioObjective
    from harness.spec.scenario import Scenario
    from harness.verdict.outcome import Claim

OUTAGE_LIMIT_MAX = 0.25
"""Half of what makes a second count as out: a promise that allows more than that is judged by its bounds alone."""

OUTAGE_S = 5
"""Whole seconds with at least half of the requests bad, that fail a broken promise however few it is worth."""

NAMES_TOLD = 5
"""Of the requests that were asked instead of one that was not: enough to see how it is spelt."""


@dataclass(frozen=True, slots=True)
class _Alibi:
    """What the machine has to say for a service that broke a promise.

    Attributes:
        taken: What strangers took.
        without: What the phase says of the promise by the requests that they had no part in.
        is_broken: Whether it is broken by those as well.
        computed: Requests to a server that computes as the service does, where they broke the promise as well.
    """

    taken: Taken
    without: _Evidence
    is_broken: bool
    computed: Count | None

    @property
    def holds(self) -> bool:
        """Tell whether the promise may have been kept on a machine without strangers."""
        return not self.is_broken or self.computed is not None


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What a phase says of one promise.

    Attributes:
        share: Of the requests that count, as they were counted.
        outage_s: How long the service was gone, where that alone breaks the promise; else 0.
        is_hopeless: Whether the run was stopped because of this promise, and rightly.
        controls: Requests to a server that does nothing, as the promise would count them, where they broke it as well.
        beside: Requests of the phase that no promise is about: see `Samples.judged`.
        is_told: Whether answers say what the promise is about.
        names: What was asked instead, where nothing was that the promise is about; the most frequent first.
        alibi: What the machine has to say for the service, where the promise is broken and strangers took what the
            service lacked.
    """

    share: Share
    outage_s: int
    is_hopeless: bool
    controls: Count | None
    beside: int = 0
    is_told: bool = True
    names: tuple[str, ...] = ()
    alibi: _Alibi | None = None


def ratio_claim(objective: RatioObjective, scenario: Scenario, history: History, confidence: float) -> Claim:
    """Judge one promise about a share of requests.

    Args:
        objective: The promise.
        scenario: It is one of its.
        history: What was seen.
        confidence: Of all looks together, in (0.5, 1).
    """
    found = _evidence(objective, scenario, history, confidence)
    if history.machine and _outcome(objective, found) is Outcome.FAIL:
        found = replace(found, alibi=_alibi(objective, scenario, history, confidence))
    outcome = _outcome(objective, found)
    # What fails with and without the seconds of strangers must be no chance without them.
    deciding = found.alibi.without if found.alibi and found.alibi.is_broken else found
    is_chance = not (deciding.outage_s or deciding.is_hopeless)
    sentence = _sentence(objective, outcome, found, label_of(scenario, objective))
    p_value = deciding.share.chance(objective, confidence) if is_chance else None
    return share_claim(objective, found.share, outcome, sentence, p_value=p_value)


def is_beyond_doubt(objective: RatioObjective, scenario: Scenario, history: History) -> bool:
    """Tell whether a promise of a phase that is to be stopped is broken, however often one looked before."""
    found = _evidence(objective, scenario, history, confidence=0.95)  # of bounds, which this does not ask
    if not (found.is_hopeless or found.outage_s):
        return False
    alibi = _alibi(objective, scenario, history, confidence=0.95) if history.machine else None
    return not (alibi and alibi.holds)


def _alibi(objective: RatioObjective, scenario: Scenario, history: History, confidence: float) -> _Alibi | None:
    """Ask the machine about a broken promise; it has nothing to say where strangers did not take what was lacked.

    A cold cache is not warmed by a processor: a promise that is a floor has no such alibi.
    """
    mark = history.phase(objective.during, after_s=objective.after)
    taken = taken_between(history.machine, mark.began_s, mark.ended_s) if mark else None
    if mark is None or taken is None or objective.is_floor:
        return None
    samples = history.samples
    rest = replace(history, samples=samples.keep(~is_excused(objective, samples, history.machine)), machine=())
    without = _evidence(objective, scenario, rest, confidence)
    computed = computed_between(history.heartbeats, mark.began_s, mark.ended_s)
    return _Alibi(
        taken=taken,
        without=without,
        is_broken=taken.clean >= CLEAN_SECONDS_MIN and _outcome(objective, without) is Outcome.FAIL,
        computed=computed_count(objective, computed) if is_computing_broken(objective, computed) else None,
    )


def _evidence(objective: RatioObjective, scenario: Scenario, history: History, confidence: float) -> _Evidence:
    mark = history.phase(objective.during, after_s=objective.after)
    during = history.during(objective.during, after_s=objective.after)
    considered = during.of(objective.of) if objective.of else during
    seen = count(objective, during)
    effective = effective_total(objective, considered, mark) if mark and seen.total else 0.0
    most = scenario.looks_during(objective.during)
    sure = confidence_at(mark.looks if mark else 1, looks=most, confidence=confidence)
    share = Share(seen, effective, sure)
    latencies_s = controls_s(history.heartbeats, mark) if mark else ()
    is_broken = is_control_broken(objective, latencies_s)
    return _Evidence(
        share=share,
        outage_s=_outage_s(objective, considered, mark, seen),
        is_hopeless=mark is not None and mark.was_stopped and is_hopeless(objective, share.events, effective),
        controls=control_count(objective, latencies_s) if is_broken else None,
        beside=_asked(objective, history) - seen.total,
        is_told=objective.is_told(history.samples),
        names=_asked_instead(objective, history) if objective.of and not seen.total else (),
    )


def _asked(objective: RatioObjective, history: History) -> int:
    """Return how many requests of its kind the service was to get in the phase of a promise, counted in it or not."""
    during = history.all_during(objective.during, after_s=objective.after)
    asked = during.of(objective.of) if objective.of else during
    return len(asked) - int(asked.has_outcome(SampleOutcome.PREVENTED).sum())


def _outage_s(objective: RatioObjective, considered: Samples, mark: PhaseMark | None, seen: Count) -> int:
    """Return how long the service was gone, if that was long enough to need no bounds; else 0.

    Where the share as a whole keeps its promise, an outage was promised to be bearable. A cold cache is no outage. And
    where a promise allows nearly as much as makes a second count as out, such seconds are its normal state: of a
    service at 59 % with a limit of 60 %, one run of five would fail by its bare share (simulated, 200/s for 10 s).
    """
    if mark is None or objective.is_floor or is_kept(objective, seen):
        return 0
    if objective.limit > OUTAGE_LIMIT_MAX:
        return 0
    lasted_s = longest_outage_s(objective, considered, mark)
    return lasted_s if lasted_s >= OUTAGE_S else 0


def _outcome(objective: RatioObjective, found: _Evidence) -> Outcome:
    """Decide from the bounds; of no requests they are 0 and 1, which is inconclusive by itself."""
    is_below, is_above = found.share.upper < objective.limit, found.share.lower > objective.limit
    good, bad = (is_above, is_below) if objective.is_floor else (is_below, is_above)
    if bad or found.outage_s or found.is_hopeless:
        # Where a server that does nothing breaks the promise too, it is the machine, and nothing is known.
        is_machines = found.controls or (found.alibi and found.alibi.holds)
        return Outcome.INCONCLUSIVE if is_machines else Outcome.FAIL
    return Outcome.PASS if good else Outcome.INCONCLUSIVE


_UNTOLD = "no answer said where it came from, in the header that system.headers.cache of readiness.toml names"


def _sentence(objective: RatioObjective, outcome: Outcome, found: _Evidence, label: str) -> str:
    """Say `fail: slow 7.9 % [7.1, 8.8] > 5 % during fault (redis +400ms); n = 6 120`, and what else there is to say."""
    share = found.share
    if share.seen.share is None:
        is_untold = found.beside and not found.is_told
        why = _UNTOLD if is_untold else f"no requests{_beside(found)}{_instead(found)}"
        return f"{outcome}: {objective.measured} unknown during {label}; {why}"
    said = share_text(objective, outcome, share.seen.share, (share.lower, share.upper))
    total = f"n = {count_text(share.seen.total)}{_beside(found)}"
    return f"{said} during {label}; {total}{_remarks(objective, outcome, found)}"


def _asked_instead(objective: RatioObjective, history: History) -> tuple[str, ...]:
    """Return what was asked in the phase of a promise, the most frequent first; nothing, where its own was among it."""
    during, of = history.all_during(objective.during), objective.of or ()
    counts = Counter(during.records["operation"].tolist())
    names = tuple(during.operations[operation] for operation, _ in counts.most_common())
    return () if {*([of] if isinstance(of, str) else of)} & {*names} else names


def _instead(found: _Evidence) -> str:
    """Name what was asked instead: a name that is misspelt is seen at once beside what was meant."""
    if not found.names:
        return ""
    more = len(found.names) - NAMES_TOLD
    said = ", ".join(name or "(nameless)" for name in found.names[:NAMES_TOLD]) + (
        f" and {more} more" if more > 0 else ""
    )
    return f" of that name; asked were {said}"


def _beside(found: _Evidence) -> str:
    """Say how many requests are not counted, so that nothing is left out in silence."""
    return f" beside {count_text(found.beside)} of impatient clients and second attempts" if found.beside else ""


def _remarks(objective: RatioObjective, outcome: Outcome, found: _Evidence) -> str:
    worth = f", worth {count_text(int(found.share.effective))} independent ones"
    said = worth if found.share.is_worth_less else ""
    said += f", with an outage of {found.outage_s} s" if found.outage_s else ""
    said += ", stopped early: beyond doubt" if found.is_hopeless else ""
    if found.controls:
        return f"{said}, but {found.controls.events} of {found.controls.total} requests of the control broke it as well"
    if found.alibi and found.alibi.holds:
        return f"{said}, but {_alibi_said(found.alibi)}"
    return said + _wish(objective, outcome, found)


def _alibi_said(alibi: _Alibi) -> str:
    said, rest, computed = str(alibi.taken), alibi.without.share.seen, alibi.computed
    said += f"; without those {rest.events} of {count_text(rest.total)} requests broke it" if rest.total else ""
    if alibi.is_broken and computed:
        said += f", and {computed.events} of {computed.total} requests of a control that computes as long"
    return said


def _wish(objective: RatioObjective, outcome: Outcome, found: _Evidence) -> str:
    """Say how many requests would have been enough, where the share itself looks good."""
    seen = found.share.seen
    if outcome is not Outcome.INCONCLUSIVE or objective.is_floor or not is_kept(objective, seen):
        return ""
    return f", {count_text(found.share.needed(objective.limit))} would prove it with {seen.events} such"
