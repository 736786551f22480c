"""Whether it was the service at all, or strangers that took the processors it lacked.

A control that waits between its requests is woken at once by a fair scheduler, and does not feel what a service feels
that computes. So the kernel is asked what the service lacked: the time that its threads were ready and had no
processor. In a second in which strangers took as much, whatever was slow was slow for want of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from harness.history.machine import is_clean, is_taken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harness.history.machine import MachineSecond
    from harness.history.samples import Samples
    from harness.spec.objective import RatioObjective

CLEAN_SECONDS_MIN = 3
"""Fewer seconds without strangers show nothing of a service that is still answering what waited because of them."""

AFTER_S = 1.0
"""What waited in a queue because strangers took the processor is answered up to this much later."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What strangers took of what the service lacked, in the seconds of a phase in which that mattered.

    Attributes:
        seconds: How many such seconds there were.
        of_seconds: Of so many that were measured.
        clean: In how many of those strangers took next to nothing, and nothing in the second before.
        cores: Processors that were there.
        strangers_cores: How many of them strangers had, on average over those seconds.
        waited_ratio: Of the time in which the service was ready to run, the share in which it had no processor.
    """

    seconds: int
    of_seconds: int
    clean: int
    cores: int
    strangers_cores: float
    waited_ratio: float


def taken_between(machine: Sequence[MachineSecond], began_s: float, ended_s: float) -> Taken | None:
    """Return what strangers took in a stretch of time; None if there was no second in which that mattered."""
    measured = [second for second in machine if began_s <= second.at_s - second.lasted_s / 2 < ended_s]
    taken = [second for second in measured if is_taken(second)]
    if not taken:
        return None
    waited_s = sum(second.waited_s or 0.0 for second in taken)
    ready_s = waited_s + sum(second.judged_s or 0.0 for second in taken)
    return Taken(
        seconds=len(taken),
        of_seconds=len(measured),
        clean=sum(is_clean(before) and is_clean(second) for before, second in pairwise([measured[0], *measured])),
        cores=taken[0].cores,
        strangers_cores=sum(second.strangers_s + second.stolen_s for second in taken)
        / sum(second.lasted_s for second in taken),
        waited_ratio=waited_s / ready_s,
    )


def is_excused(objective: RatioObjective, samples: Samples, machine: Sequence[MachineSecond]) -> NDArray[np.bool_]:
    """Tell of each request whether strangers may have taken what the service lacked while it was to be answered.

    A request that had broken the promise before the strangers came is not excused by them.
    """
    intended_s = samples.records["intended_s"]
    latency_s = samples.records["latency_s"]
    due_s = intended_s + (latency_s if objective.bad_after_s is None else np.minimum(latency_s, objective.bad_after_s))
    excused = np.zeros(len(samples), dtype=np.bool_)
    for second in [each for each in machine if not is_clean(each)]:
        excused |= (intended_s < second.at_s + AFTER_S) & (due_s >= second.began_s)
    return excused
