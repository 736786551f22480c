"""Whether each circuit breaker went the way of its automaton, by what its replica tells of it.

```
CLOSED ──► OPEN ──► HALF_OPEN ──► CLOSED
             ▲          │
             └──────────┘
```

While it is open nothing gets through, and for as long as was promised; when it is half open a few calls do. What a
process did that ended before it was asked is not known: a gap is told, and breaks nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.history.circuits import CircuitState
from harness.measure.invariants.finding import Counterexample, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.history.circuits import Circuit, CircuitReport, Stay
    from harness.history.history import History
    from harness.spec.invariant import BreakerTrace

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN

AFTER = {CLOSED: (OPEN,), OPEN: (HALF_OPEN,), HALF_OPEN: (CLOSED, OPEN)}
"""Where a circuit may go from where it is."""

ROUNDING_S = 0.002
"""What two times of one answer may be off that are told in milliseconds, as most services tell them."""

_GAP_MIN_S = 0.1
"""A shorter stretch of time in which nothing is known is not worth a clause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """A circuit in one state, and how it came there.

    Attributes:
        replica: Whose circuit it is.
        name: What that calls it.
        before: The state before; None for the first that is known.
        stay: The state.
        left_s: When it ended; None if it has not.
        openings: Openings in a row until now, its own included; None if they are not known.
    """

    replica: str
    name: str
    before: Stay | None
    stay: Stay
    left_s: float | None
    openings: int | None


def breaker_trace(invariant: BreakerTrace, history: History) -> Finding:
    """Look for a step that no breaker may take; each step of the run into another state counts as checked.

    Nothing is known, whatever the others tell, if a replica does not answer the last time that it is asked.
    """
    steps = [
        step
        for report in _reports(history)
        for circuit in report.circuits
        if not invariant.of or circuit.name in invariant.of
        for step in _steps(report.replica, circuit)
        if step.stay.began_s >= 0
    ]
    found = [(step, why) for step in steps if (why := _why_wrong(invariant, step)) is not None]
    first = min(found, key=lambda each: (each[0].stay.began_s, each[0].replica, each[0].name), default=None)
    silent = _silent(history)
    return Finding(
        checked=0 if silent else sum(step.before is not None for step in steps),
        broken=len(found),
        first=None if first is None else _counterexample(*first),
        wanted=_wanted(invariant, history, silent),
        also=_gaps(history),
    )


def _reports(history: History) -> list[CircuitReport]:
    """Return the reports that tell something, but those of which another one tells all, and what came after."""
    told = [report for report in history.circuits if not report.error]
    return [
        report for place, report in enumerate(told) if not any(_contains(other, report) for other in told[place + 1 :])
    ]


def _contains(later: CircuitReport, report: CircuitReport) -> bool:
    """Tell whether a later report is of the same process, and has forgotten nothing."""
    return later.replica == report.replica and _known_from_s(later) <= report.asked_s and not _has_forgotten(later)


def _has_forgotten(report: CircuitReport) -> bool:
    return any(circuit.forgotten for circuit in report.circuits)


def _known_from_s(report: CircuitReport) -> float:
    """Return from when on all its circuits are known."""
    return max((circuit.stays[0].began_s for circuit in report.circuits), default=report.asked_s)


def _silent(history: History) -> CircuitReport | None:
    """Return the report of a replica that told nothing when it was last asked; None if each did."""
    last = {report.replica: report for report in history.circuits}
    return next((report for report in last.values() if report.error), None)


def _steps(replica: str, circuit: Circuit) -> Iterator[_Step]:
    """Return each state with how it was reached, and how often in a row the circuit had opened by then."""
    openings: int | None = None
    before: Stay | None = None
    for stay, after in zip(circuit.stays, [*circuit.stays[1:], None], strict=True):
        openings = _openings(openings, stay)
        yield _Step(
            replica=replica,
            name=circuit.name,
            before=before,
            stay=stay,
            left_s=None if after is None else after.began_s,
            openings=openings,
        )
        before = stay


def _openings(so_far: int | None, stay: Stay) -> int | None:
    if stay.state is CLOSED:
        return 0
    return so_far + 1 if so_far is not None and stay.state is OPEN else so_far


def _why_wrong(invariant: BreakerTrace, step: _Step) -> str | None:
    """Return what is wrong with a state or the way into it, with what is allowed; None if nothing is."""
    return _wrong_way(step) or _too_short(invariant, step) or _wrong_rest(invariant, step) or _too_many(invariant, step)


def _wrong_way(step: _Step) -> str | None:
    before, stay = step.before, step.stay
    if before is None or stay.state in AFTER[before.state]:
        return None
    allowed = " or ".join(map(_word, AFTER[before.state]))
    return (
        f"was {_word(before.state)} from {before.began_s:.3f} s on and {_word(stay.state)} at {stay.began_s:.3f} s, "
        f"and after {_word(before.state)} it may only be {allowed}"
    )


def _too_short(invariant: BreakerTrace, step: _Step) -> str | None:
    """Return what is wrong with a rest that is over."""
    before = step.before
    if before is None or before.state is not OPEN:
        return None
    rested_s = step.stay.began_s - before.began_s
    promised_s, _ = _rest_s(invariant, step.openings)
    least_s = max(promised_s, before.rest_s or 0.0)
    if rested_s >= least_s - ROUNDING_S:
        return None
    return (
        f"opened at {before.began_s:.3f} s{_in_a_row(step.openings)} and was {_word(step.stay.state)} at "
        f"{step.stay.began_s:.3f} s: it rested for {rested_s:.3f} s, and must for {least_s:.3f} s"
    )


def _wrong_rest(invariant: BreakerTrace, step: _Step) -> str | None:
    """Return what is wrong with the rest that was chosen as it opened."""
    stay = step.stay
    if stay.state is not OPEN or stay.rest_s is None:
        return None
    least_s, most_s = _rest_s(invariant, step.openings)
    if least_s - ROUNDING_S <= stay.rest_s <= most_s + ROUNDING_S:
        return None
    return (
        f"opened at {stay.began_s:.3f} s{_in_a_row(step.openings)} and chose to rest for {stay.rest_s:.3f} s, and "
        f"{least_s:.3f} s to {most_s:.3f} s are allowed"
    )


def _too_many(invariant: BreakerTrace, step: _Step) -> str | None:
    """Return what is wrong with what was let through."""
    stay = step.stay
    most = {OPEN: 0, HALF_OPEN: invariant.probes}.get(stay.state)
    if most is None or stay.admitted is None or stay.admitted <= most:
        return None
    until = "on" if step.left_s is None else f"to {step.left_s:.3f} s"
    calls = "1 call" if stay.admitted == 1 else f"{stay.admitted} calls"
    return f"was {_word(stay.state)} from {stay.began_s:.3f} s {until} and let {calls} through, and {most} are allowed"


def _rest_s(invariant: BreakerTrace, openings: int | None) -> tuple[float, float]:
    """Return the shortest and the longest rest after so many openings in a row, seconds."""
    longest_s = invariant.rest if invariant.longest is None else invariant.longest
    doubled = [min(longest_s, invariant.rest * 2.0 ** min(times, 64)) for times in _doublings(openings)]
    return min(doubled) * (1 - invariant.jitter), max(doubled) * (1 + invariant.jitter)


def _doublings(openings: int | None) -> Sequence[int]:
    """Return how often a rest may have been doubled; where that is not known, not at all, and as often as can be."""
    return (0, 64) if not openings else (openings - 1,)


def _in_a_row(openings: int | None) -> str:
    return f" (opening {openings} in a row)" if openings is not None and openings > 1 else ""


def _word(state: CircuitState) -> str:
    return state.replace("_", " ")


def _counterexample(step: _Step, why: str) -> Counterexample:
    return Counterexample(sentence=f"{step.replica}: the breaker of {step.name} {why}", samples=())


def _wanted(invariant: BreakerTrace, history: History, silent: CircuitReport | None) -> str:
    if silent is not None:
        return f"{silent.replica} did not tell what its breakers did: {silent.error}"
    if not history.circuits:
        return "no replica was asked what its breakers did; that is done when the load is over"
    names = sorted({circuit.name for report in history.circuits for circuit in report.circuits})
    if not set(names) & set(invariant.of or names):
        return f"no breaker is called {' or '.join(invariant.of)}; there are: {', '.join(names) or 'none'}"
    return "no breaker left its state; hurt what one of them guards, for long enough to open it"


def _gaps(history: History) -> str:
    """Say of which replica nothing is known, and when: it was started anew, or has forgotten."""
    return "; ".join(
        f"of {replica} nothing is known from {began_s:.1f} s to {ended_s:.1f} s"
        for replica in sorted({report.replica for report in history.circuits})
        for began_s, ended_s in _unknown(replica, history)
    )


def _unknown(replica: str, history: History) -> Iterator[tuple[float, float]]:
    known = sorted((_known_from_s(report), report.asked_s) for report in _reports(history) if report.replica == replica)
    for (_, ended_s), (began_s, _) in pairwise([(0.0, 0.0), *known]):
        if began_s - ended_s > _GAP_MIN_S:
            yield ended_s, began_s
