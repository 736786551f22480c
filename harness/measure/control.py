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
    from harness.history.marks import PhaseMark
    from harness.spec.objective import RatioObjective


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
