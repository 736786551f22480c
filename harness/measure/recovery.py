"""How long it took until all was well again: from healing to the end of the last bad second.

A second is bad if the bare shares of its requests break any of the promises that held before the fault, or if not one
asked in it. Recovery is measured to the last bad second, not to the first good one: a service that flickers has not
recovered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.history.machine import taken_between
from harness.measure.control import controls_between_s, is_control_broken
from harness.measure.machine import AFTER_S
from harness.measure.ratios import count, is_kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.history.history import History
    from harness.history.samples import Samples
    from harness.spec.objective import RatioObjective

CONTROLS_MIN = 5
"""Half of the control's requests of a second: with fewer, it is not known what the machine did in it."""


@dataclass(frozen=True, slots=True)
class BadSecond:
    """A second in which a promise was not seen to be kept.

    Attributes:
        after_s: Whole seconds from healing to its beginning.
        is_services: Whether requests broke a promise that a server that does nothing kept meanwhile; not, if it was
            not asked, or if it was the machine, or strangers took the processors that the service lacked.
    """

    after_s: int
    is_services: bool


def bad_seconds(
    history: History, promises: Sequence[RatioObjective], *, healed_s: float, until_s: float
) -> tuple[BadSecond, ...]:
    """Return the bad seconds after healing.

    Args:
        history: What was seen.
        promises: What a good second keeps; without one, good and bad are not told apart.
        healed_s: When the fault was undone, seconds since the origin.
        until_s: When watching ended; a last part shorter than a second is not a second.

    Raises:
        ValueError: If there is no promise.
    """
    if not promises:
        raise ValueError("without a promise no second is good or bad")
    return tuple(
        BadSecond(second, _is_services(unkept, during, history, healed_s + second))
        for second in range(math.floor(until_s - healed_s))
        if (unkept := _unkept(promises, during := _second(history, healed_s + second))) or not len(during)
    )


def until_last_s(bad: Sequence[BadSecond]) -> float:
    """Return the seconds from healing to the end of the last bad one, 0.0 if none was bad."""
    return max((second.after_s + 1.0 for second in bad), default=0.0)


def _second(history: History, began_s: float) -> Samples:
    return history.samples.between(began_s, began_s + 1).judged()


def _unkept(promises: Sequence[RatioObjective], during: Samples) -> list[RatioObjective]:
    return [promise for promise in promises if not is_kept(promise, count(promise, during))]


def _is_services(unkept: Sequence[RatioObjective], during: Samples, history: History, began_s: float) -> bool:
    controls_s = controls_between_s(history.heartbeats, began_s, began_s + 1)
    broken = [promise for promise in unkept if count(promise, during).total]
    if taken_between(history.machine, began_s - AFTER_S - 0.5, began_s + 1.5):  # whatever second it lies in, or after
        return False
    return len(controls_s) >= CONTROLS_MIN and any(not is_control_broken(promise, controls_s) for promise in broken)
