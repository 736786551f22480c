"""Whether it was the service at all: the same promises, asked of a server that does nothing.

The control's requests leave the same generator, interleaved with the judged ones, and no fault is ever injected on
their way. Where they break a promise as well, the machine is too busy to tell what the service did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.history.load import CONTROL_WITHIN_S
from harness.measure.ratios import Count, is_kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.history.load import Heartbeat
    from harness.history.machine import MachineSecond
    from harness.history.marks import PhaseMark
    from harness.spec.objective import RatioObjective


STRETCHED = 2.0
"""A request of the control that took this often what it computed had a processor for less than half of its time."""

COMPUTED_MIN = 5
"""Fewer requests that compute are no witness; at the least rate, of 50 ms each, these are five seconds."""

ANSWERED_MIN = 30
"""Answers, and three seconds, before it is told what the service computes for one: the first ones open connections."""

SECONDS_MIN = 3


def controls_s(beats: Sequence[Heartbeat], mark: PhaseMark) -> tuple[float, ...]:
    """Return the latencies of the control in a phase."""
    return controls_between_s(beats, mark.began_s, mark.ended_s)


def controls_between_s(beats: Sequence[Heartbeat], began_s: float, ended_s: float) -> tuple[float, ...]:
    """Return the latencies of the control in a stretch of time; a second belongs to where most of it lies."""
    within = [beat for beat in beats if began_s <= beat.at_s - 0.5 < ended_s]
    return tuple(latency_s for beat in within for latency_s in beat.controls_s or ())


def control_count(objective: RatioObjective, latencies_s: Sequence[float]) -> Count:
    """Count the requests of the control that would have been bad by `objective`: slow, or without an answer."""
    over_s = CONTROL_WITHIN_S if objective.bad_after_s is None else objective.bad_after_s
    bad = sum(latency_s > over_s or latency_s >= CONTROL_WITHIN_S for latency_s in latencies_s)
    return Count(bad, len(latencies_s))


def is_control_broken(objective: RatioObjective, latencies_s: Sequence[float]) -> bool:
    """Tell whether the control's own share of bad requests would have broken `objective`."""
    bad = control_count(objective, latencies_s)
    counted = Count(bad.total - bad.events, bad.total) if objective.is_floor else bad
    return bad.total > 0 and not is_kept(objective, counted)


def computed_between(beats: Sequence[Heartbeat], began_s: float, ended_s: float) -> tuple[tuple[float, float], ...]:
    """Return what the control's requests computed, and how long each took, in a stretch of time."""
    within = [beat for beat in beats if began_s <= beat.at_s - 0.5 < ended_s]
    return tuple(pair for beat in within for pair in beat.computed or ())


def computed_count(objective: RatioObjective, computed: Sequence[tuple[float, float]]) -> Count:
    """Count the control's requests that would have been bad for want of a processor.

    One that is to compute longer than the promise allows breaks it by itself, on any machine, and shows nothing. One
    that is bad must have taken much longer than it computed, or a service at its limit would always have an alibi.
    """
    over_s = CONTROL_WITHIN_S if objective.bad_after_s is None else objective.bad_after_s
    fit = [(asked_s, latency_s) for asked_s, latency_s in computed if asked_s < over_s]
    bad = sum(latency_s > over_s and latency_s >= STRETCHED * asked_s for asked_s, latency_s in fit)
    return Count(bad, len(fit))


def is_computing_broken(objective: RatioObjective, computed: Sequence[tuple[float, float]]) -> bool:
    """Tell whether a server that only computes as the service does would have broken `objective`."""
    bad = computed_count(objective, computed)
    return bad.total >= COMPUTED_MIN and not objective.is_floor and not is_kept(objective, bad)


def compute_s(machine: Sequence[MachineSecond], beats: Sequence[Heartbeat]) -> float | None:
    """Return the processor time that the service uses for a request; None while that is not known.

    Args:
        machine: What the machine gave since the load began.
        beats: What was answered meanwhile.
    """
    used_s = [second.judged_s for second in machine if second.judged_s is not None]
    answered = sum(beat.ok + beat.failed for beat in beats[: len(used_s)])
    if len(used_s) < SECONDS_MIN or answered < ANSWERED_MIN:
        return None
    return sum(used_s) / answered or None
