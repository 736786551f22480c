"""A scenario's phases and the windows of its faults, compiled into one list of moments: what must happen, in order.

Pure, and done at collection: what is run, what is judged, and what a reader is shown come from the same list.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate
from typing import TYPE_CHECKING

from harness.spec.faults.network import ROUND_TRIPS, Latency
from harness.spec.faults.target import LOOK_OVERHEAD_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.spec.faults import Fault
    from harness.spec.phase import Phase

ROUNDING_S = 1e-9
"""What a sum of durations, each stretched by itself, may differ from the stretched sum."""

LATE_RATIO = 0.1
"""A fault may come this part of its window late: what is judged there is diluted by no more. One takes some 70 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """Something that is done to the system, and when; so far a fault.

    Attributes:
        id: `fault-1`, `fault-2`, … in the order of the file, all phases counted through.
        phase: The phase that it belongs to.
        starts_s: When it begins, seconds since the origin, as planned: no phase before it was extended.
        ends_s: When it is undone.
        spec: What is done.
    """

    id: str
    phase: str
    starts_s: float
    ends_s: float
    spec: Fault

    @property
    def lasts_s(self) -> float:
        """Return how long it is meant to be there, in seconds."""
        return self.ends_s - self.starts_s

    @property
    def look_s(self) -> float:
        """Return how long one look at its dose takes where it is alone, in seconds."""
        return self.spec.look_s + LOOK_OVERHEAD_S

    def look_beside_s(self, others: Iterable[Scheduled]) -> float:
        """Return the same beside others: a round trip waits for each latency into the server that is there as well."""
        if not isinstance(self.spec, Latency):
            return self.look_s
        beside = (other.spec for other in others if other is not self and self._overlaps(other))
        server = self.spec.target.rpartition(".")[2]
        more_s = (
            other.delay + other.jitter
            for other in beside
            if isinstance(other, Latency) and other.target.rpartition(".")[2] == server
        )
        return self.look_s + ROUND_TRIPS * sum(more_s)

    def _overlaps(self, other: Scheduled) -> bool:
        return self.starts_s < other.ends_s and other.starts_s < self.ends_s


class Kind(IntEnum):
    """What happens at a moment; at one and the same time, things happen in this order.

    A phase ends before its faults are undone: the time that healing takes belongs to the phase that follows, as it
    always did. All faults begin before the first look at one of them, or each would make the next one late.
    """

    REVIEW = 1
    OBSERVE = 2
    PHASE_ENDS = 3
    END = 4
    PHASE_BEGINS = 5
    BEGIN = 6
    FIRST_LOOK = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Something that must happen at a time.

    Attributes:
        at_s: When, seconds since the origin, as planned.
        kind: What. `REVIEW` asks whether the phase goes on, since its promises are open.
        phase: The phase that it belongs to, a number from 0.
        action: What begins, is looked at, or ends; None if it is about the phase itself.
    """

    at_s: float
    kind: Kind
    phase: int
    action: Scheduled | None = None


def scheduled(phases: Sequence[Phase]) -> tuple[Scheduled, ...]:
    """Return every fault of every phase with its id and its window, in the order of the file."""
    begins_s = [0.0, *accumulate(phase.lasts for phase in phases)]
    begun = zip(phases, begins_s[:-1], strict=True)
    placed = [(phase, begin_s, fault) for phase, begin_s in begun for fault in phase.faults]
    return tuple(
        Scheduled(
            id=f"fault-{number}",
            phase=phase.name,
            starts_s=begin_s + fault.at,
            ends_s=begin_s + _ends_after_s(fault, phase),
            spec=fault,
        )
        for number, (phase, begin_s, fault) in enumerate(placed, start=1)
    )


def _ends_after_s(fault: Fault, phase: Phase) -> float:
    """Return when a fault ends, in seconds after its phase has begun: with its phase, if that is what it adds up to."""
    ends_s = fault.ends_after_s(phase.lasts)
    return phase.lasts if abs(ends_s - phase.lasts) <= ROUNDING_S else ends_s


def moments(phases: Sequence[Phase], *, looks: int = 1) -> tuple[Moment, ...]:
    """Return everything that must happen, in order.

    Args:
        phases: In order of time.
        looks: How often the promises of a phase may be looked at; one that may go on is reviewed before its end.
    """
    actions, listed, begins_s = scheduled(phases), list[Moment](), 0.0
    for number, phase in enumerate(phases):
        ends_s = begins_s + phase.lasts
        own = [action for action in actions if action.phase == phase.name]
        listed.append(Moment(at_s=begins_s, kind=Kind.PHASE_BEGINS, phase=number))
        listed.append(Moment(at_s=ends_s, kind=Kind.PHASE_ENDS, phase=number))
        last_looks = _last_looks([action for action in own if action.spec.needs_looks])
        if looks > 1 and phase.goes_on:
            review_s = min([at_s for at_s, _ in last_looks], default=ends_s)
            listed.append(Moment(at_s=review_s, kind=Kind.REVIEW, phase=number))
        listed += [Moment(at_s=at_s, kind=Kind.OBSERVE, phase=number, action=action) for at_s, action in last_looks]
        for action in own:
            listed.append(Moment(at_s=action.starts_s, kind=Kind.BEGIN, phase=number, action=action))
            if action.spec.needs_looks:
                listed.append(Moment(at_s=action.starts_s, kind=Kind.FIRST_LOOK, phase=number, action=action))
        # What began last ends first, as an exit stack would have it.
        listed += [Moment(at_s=action.ends_s, kind=Kind.END, phase=number, action=action) for action in reversed(own)]
        begins_s = ends_s
    return tuple(sorted(listed, key=lambda moment: (moment.at_s, moment.kind)))  # stable: the file's order stays


def _last_looks(actions: Sequence[Scheduled]) -> list[tuple[float, Scheduled]]:
    """Return when each action is looked at for the last time: so early that all that end together end in time.

    One that is too short for a second look, after all the first ones, is looked at once, when it begins.
    """
    looks, free_until_s = list[tuple[float, Scheduled]](), float("inf")
    by_end = sorted(actions, key=lambda action: action.ends_s)
    for action in by_end[::-1]:  # of those that end together, the file's last is looked at last
        look_s = action.look_beside_s(actions)
        at_s = min(action.ends_s, free_until_s) - look_s
        if at_s >= action.starts_s + look_s and at_s >= _first_looks_end_s(actions, at_s) - ROUNDING_S:
            looks.append((at_s, action))
            free_until_s = at_s
    return looks[::-1]


def _first_looks_end_s(actions: Sequence[Scheduled], before_s: float) -> float:
    """Return when the first looks are over at what begins before a moment: they are one after the other."""
    ends_s = 0.0
    for action in sorted(actions, key=lambda action: action.starts_s):
        if action.starts_s < before_s:
            ends_s = max(ends_s, action.starts_s) + action.look_beside_s(actions)
    return ends_s


def overdue(listed: Sequence[Moment]) -> dict[str, tuple[Kind, float]]:
    """Return which actions would begin or end too late, since looks at what is there take so long, and by how much.

    Looks are one after the other, in the loop that begins and ends everything: what is due meanwhile waits.

    Args:
        listed: All that must happen, in order.

    Returns:
        By the action's id: whether it begins or ends late, and seconds; a tenth of its window is borne.
    """
    actions = [moment.action for moment in listed if moment.action and moment.kind is Kind.BEGIN]
    now_s, late = 0.0, dict[str, tuple[Kind, float]]()
    for moment in listed:
        action, now_s = moment.action, max(now_s, moment.at_s)
        if action is None or not action.spec.needs_looks:
            continue
        if moment.kind in {Kind.FIRST_LOOK, Kind.OBSERVE}:
            now_s += action.look_beside_s(actions)
        elif now_s - moment.at_s > LATE_RATIO * action.lasts_s:
            late.setdefault(action.id, (moment.kind, now_s - moment.at_s))
    return late
