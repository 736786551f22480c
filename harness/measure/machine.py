"""Whether it was the service at all, or strangers that took the processors it lacked.

A control that waits between its requests is woken at once by a fair scheduler, and does not feel what a service feels
that computes. So the kernel is asked what the service lacked: the time that its threads were ready and had no
processor. In a second in which strangers took as much, whatever was slow was slow for want of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.history.machine import is_clean

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
