"""How much processor time the judged replicas use for each request that they answer, second by second.

A service may answer in time and still compute ten times as long for it: it is found out when the machines are full. So
what it used is laid beside what it answered, in the seconds in which the machine was looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.history.machine import NOISE_S, seconds_between

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harness.history.history import History
    from harness.history.machine import MachineSecond
    from harness.spec.objective import Processor

SHORTEST_S = 0.5
"""What the machine gave in less is not a second of it: the last look may come right after the one before."""


@dataclass(frozen=True, slots=True)
class SpentSecond:
    """What one second says of a budget of processor time.

    Attributes:
        machine: What the machine gave in it.
        answered: How many answers came in it, of whatever request.
        is_over: Whether the replicas used more than the budget for those; None where that is not known.
    """

    machine: MachineSecond
    answered: int
    is_over: bool | None


def spent_seconds(objective: Processor, history: History) -> tuple[SpentSecond, ...]:
    """Return the seconds of a budget's phase, in order; a second belongs to where its middle lies.

    Every answer counts, also one to a client that gives up early, or asks again: each was worked for.
    """
    mark = history.phase(objective.during, after_s=objective.after)
    if mark is None:
        return ()
    measured = seconds_between(history.machine, mark.began_s, mark.ended_s)
    seconds = [second for second in measured if second.lasted_s >= SHORTEST_S]
    samples = history.samples
    intended_s = samples.records["intended_s"]
    asked = _counted(intended_s, seconds)
    answered = _counted((intended_s + samples.records["latency_s"])[samples.is_answered()], seconds)
    return tuple(
        SpentSecond(second, answers, _is_over(objective, second, asked=questions, answered=answers))
        for second, questions, answers in zip(seconds, asked, answered, strict=True)
    )


def spent_per_answer_s(seconds: Sequence[SpentSecond]) -> float | None:
    """Return the processor time an answer, over all seconds of which it is known; None if none was answered in them."""
    known = [each for each in seconds if each.is_over is not None]
    answered = sum(each.answered for each in known)
    return sum(each.machine.spent_s or 0.0 for each in known) / answered if answered else None


def _is_over(objective: Processor, second: MachineSecond, *, asked: int, answered: int) -> bool | None:
    """Tell whether a second was over its budget, which is that of its answers; None if it says nothing.

    To compute and answer nothing that was asked is over any budget. To do neither says nothing of what an answer costs.
    """
    if second.spent_s is None:
        return None
    is_idle = second.spent_s < NOISE_S * second.lasted_s
    if not answered and (is_idle or not asked):
        return None
    return not is_idle and second.spent_s > objective.over * answered


def _counted(moments_s: NDArray[np.float64], seconds: Sequence[MachineSecond]) -> list[int]:
    """Count moments in each second, its beginning included and its end not."""
    ordered = np.sort(moments_s)
    return [int(np.diff(np.searchsorted(ordered, [each.began_s, each.at_s]))[0]) for each in seconds]
