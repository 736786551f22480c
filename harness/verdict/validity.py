"""Whether the load was as planned: a generator that was late, busy, deaf or gone measured itself, not the service.

Each question is an obligation. It asks about the generator only: a service that answers slowly, or not at all, must not
be able to make its own measurement void.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from harness.measure.control import control_count, controls_s, is_control_broken
from harness.spec.objective import tightest_s
from harness.spec.quantity import duration_text
from harness.verdict.checkers.recovery import shares_asked
from harness.verdict.outcome import Obligation, Outcome
from harness.verdict.sharing import vouched_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.history.history import History
    from harness.history.load import Heartbeat, LoadTally
    from harness.spec.scenario import Scenario

OFFERED_WITHIN_RATIO = 0.01
"""Of the plan of each second that may be issued too late (see `OVERDUE_AFTER_S`)."""

LAG_MAX_RATIO = 0.05
"""Of the tightest time that an objective speaks of: more would be a part of the answer. A quiet machine of two cores,
with the whole stack on it, stays within 1.0 to 3.6 ms at p99 (measured 2026-11, 50 runs at 200/s)."""

LAG_MAX_S = 0.010
"""Whatever the objectives say."""

CPU_MAX_RATIO = 0.80
"""Of one core; beyond, requests queue in the generator. Two seconds in a row: a single one is the machine's noise."""

BEAT_WITHIN_S = 1.25
"""From one heartbeat to the next; they come on the second, and a late one means that the generator stood still."""

TOLD_TO_S = 0.001
"""How exactly a heartbeat tells its moment; phases are sums of lengths, and may end a hair later than they say."""

SECONDS_MIN = 3.0
"""The first second opens the connections; less than two more show no rate."""

CONTROLS_MIN_PER_S = 5.0
"""Half of what the generator asks."""

REQUESTS_MIN = 59
"""Fewer cannot prove even that less than 5 % are slow, at 95 % confidence."""


def load_validity(scenario: Scenario, history: History) -> Iterator[Obligation]:
    """Ask everything that must hold of the load; says nothing of a load without a tally, which is an error already."""
    tally = history.tally
    if tally is None:
        return
    limit_s = tightest_s(scenario.objectives)
    lasts_s = max((mark.ended_s for mark in history.phases), default=0.0)
    yield _alive(lasts_s, history.heartbeats)
    yield _offered(judged_seconds(scenario, history))
    yield _lag(tally, limit_s)
    yield _cpu(history.heartbeats)
    yield _overhead(tally, limit_s)
    yield _own_errors(tally)
    yield _enough(lasts_s, tally)
    yield _control(scenario, history)


def judged_seconds(scenario: Scenario, history: History) -> list[Heartbeat]:
    """Return the heartbeats of seconds that an objective speaks of; what happens in a warm-up is not judged."""
    judged = {objective.during for objective in scenario.objectives}
    windows = [(mark.began_s, mark.ended_s) for mark in history.phases if mark.name in judged]
    return [beat for beat in history.heartbeats if any(began_s < beat.at_s < end_s + 1 for began_s, end_s in windows)]


def _alive(lasts_s: float, beats: Sequence[Heartbeat]) -> Obligation:
    """A second without a heartbeat is a second of which it is not known what was sent."""
    moments_s = [0.0, *(beat.at_s for beat in beats)]
    gaps = [(later - earlier, earlier) for earlier, later in pairwise(moments_s) if later - earlier > BEAT_WITHIN_S]
    if lasts_s - moments_s[-1] > TOLD_TO_S:
        gaps.append((lasts_s - moments_s[-1], moments_s[-1]))
    if gaps:
        silent_s, since_s = max(gaps)
        return _unproved("generator alive", f"no heartbeat for {silent_s:.1f} s after second {since_s:.1f}")
    return _met("generator alive", f"{len(beats)} heartbeats without a gap")


def _offered(beats: Sequence[Heartbeat]) -> Obligation:
    """Ask of every second whether what the schedule wanted was issued when it wanted it."""
    name = "offered as planned"
    if not beats or any(beat.planned is None or beat.overdue is None for beat in beats):
        return _unproved(name, "the generator did not say what it had planned")
    short = [beat for beat in beats if (beat.overdue or 0) > OFFERED_WITHIN_RATIO * (beat.planned or 0)]
    if short:
        worst = max(short, key=lambda beat: beat.overdue or 0)
        seconds = f"{len(short)} of {len(beats)} seconds, most at {worst.at_s:.0f} s"
        of_plan = f"{worst.issued} issued, {worst.overdue} of them late, of {worst.planned} planned"
        return _unproved(name, f"the generator fell behind its schedule in {seconds}: {of_plan}; {_FIX_RATE}")
    return _met(name, f"each of {len(beats)} seconds within {OFFERED_WITHIN_RATIO:.0%} of its plan")


def _lag(tally: LoadTally, tight_s: float | None) -> Obligation:
    name, limit_s = "generator on time", LAG_MAX_S
    if tight_s is not None:
        limit_s = min(LAG_MAX_S, LAG_MAX_RATIO * tight_s)
    if tally.wait_p99_s is None:
        return _unproved(name, "the generator did not tell its own lag from waiting for the service")
    said = f"its own lag {_ms(tally.lag_p99_s)} at p99 (at most {_ms(limit_s)})"
    if tally.lag_p99_s > limit_s:
        return _unproved(name, f"{said}; {_FIX_MACHINE}")
    waited = f"; requests waited {_ms(tally.wait_p99_s)} for a free seat" if tally.wait_p99_s > limit_s else ""
    return _met(name, said + waited)


def _cpu(beats: Sequence[Heartbeat]) -> Obligation:
    name = "generator not busy"
    if not beats:
        return _unproved(name, "the generator did not say how busy it was")
    busiest = max(beats, key=lambda beat: beat.cpu_ratio)
    said = f"at most {busiest.cpu_ratio:.0%} of its core, at {busiest.at_s:.0f} s"
    # The last heartbeat closes a piece of a second, where the account at the end is a large part.
    in_a_row = [min(one.cpu_ratio, next_one.cpu_ratio) for one, next_one in pairwise(beats[:-1])]
    if max(in_a_row, default=0.0) >= CPU_MAX_RATIO:
        return _unproved(name, f"{said}, and {CPU_MAX_RATIO:.0%} or more for two seconds or longer; {_FIX_RATE}")
    return _met(name, said)


def adds_below_s(tight_s: float) -> float:
    """Return what a generator must add less than by itself for judging by `tight_s`, seconds."""
    return LAG_MAX_RATIO * tight_s


def doomed_by(overhead_p95_s: float, tight_s: float | None) -> str:
    """Say why a generator that adds so much by itself can judge nothing by `tight_s`; empty if it can."""
    if tight_s is None or overhead_p95_s < adds_below_s(tight_s):
        return ""
    return f"{_adds(overhead_p95_s)}, too much to judge by {duration_text(tight_s)}"


def _adds(overhead_p95_s: float) -> str:
    return f"it adds {overhead_p95_s * 1000:.2f} ms at p95 by itself"


def _overhead(tally: LoadTally, tight_s: float | None) -> Obligation:
    name = "generator calibrated"
    if tally.overhead_p95_s is None:
        return _unproved(name, "what the generator adds by itself was not measured")
    if why := doomed_by(tally.overhead_p95_s, tight_s):
        return _unproved(name, f"{why}; {_FIX_MACHINE}")
    return _met(name, _adds(tally.overhead_p95_s))


def _own_errors(tally: LoadTally) -> Obligation:
    name = "generator without errors"
    if tally.client_errors is None:
        return _unproved(name, "the generator did not count its own errors")
    if tally.client_errors:
        sentence = f"{tally.client_errors} exceptions that no request explains; the first: {tally.client_error}"
        return Obligation(name=name, outcome=Outcome.ERROR, sentence=sentence)
    if tally.prevented:
        return _unproved(name, tally.shortage)
    return _met(name, "no exception outside requests")


def _enough(lasts_s: float, tally: LoadTally) -> Obligation:
    name = "load long enough"
    said = f"{tally.issued} requests in {lasts_s:g} s"
    if tally.issued < REQUESTS_MIN or lasts_s < SECONDS_MIN:
        return _unproved(name, f"{said} prove nothing (at least {REQUESTS_MIN} in {SECONDS_MIN:g} s)")
    return _met(name, said)


def _control(scenario: Scenario, history: History) -> Obligation:
    """Ask the judged promises of a server that does nothing: if even that breaks them, it is the machine."""
    name = "control held"
    known = vouched_for(scenario, history)
    asked = [(phase, promise) for phase, promise in shares_asked(scenario) if phase not in known]
    marks = {phase: mark for phase, _ in asked if (mark := history.phase(phase)) is not None}
    heard = {phase: controls_s(history.heartbeats, mark) for phase, mark in marks.items()}
    if any(len(heard[phase]) < CONTROLS_MIN_PER_S * mark.lasted_s for phase, mark in marks.items()):
        return _unproved(name, "the server that does nothing was not asked, or not heard")
    for phase, promise in asked:
        latencies_s = heard.get(phase, ())
        if is_control_broken(promise, latencies_s):
            bad = control_count(promise, latencies_s)
            said = f"{bad.events} of {bad.total} requests to a server that does nothing broke `{promise}`"
            return _unproved(name, f"{said} during {phase}: that is the machine; {_FIX_MACHINE}")
    slowest_s = max((latency_s for latencies_s in heard.values() for latency_s in latencies_s), default=0.0)
    return _met(name, f"a server that does nothing, asked meanwhile, took {_ms(slowest_s)} at most")


_FIX_RATE = "lower the rate, or press with more cores"
_FIX_MACHINE = "run on a quieter machine"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _met(name: str, sentence: str) -> Obligation:
    return Obligation(name=name, outcome=Outcome.PASS, sentence=sentence)


def _unproved(name: str, sentence: str) -> Obligation:
    return Obligation(name=name, outcome=Outcome.INCONCLUSIVE, sentence=sentence)
