"""How old a lost write was when the disaster came that took it: what a recovery point objective (RPO) is about.

A read that misses a write tells that it was lost, not when. What a fault took is as old as it was when the fault began,
however late it is missed; what was acknowledged while the fault was there was lost at its end at the latest:

```
 write   |--|                              age: until the fault
 fault            |-----------|
 write                |--|                 age: until its end
 read                             |--|     misses both
```

Of several faults the last may have done it, so nothing is told younger than it was. Without any fault between, nothing
took the write but the service itself: its age is the time until it is missed, and no objective excuses it.

Source: NIST SP 800-34 Rev. 1, section 3.2.1: the RPO is a point in time prior to the disruption.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.history.marks import FaultMark


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """How old a lost write was.

    Attributes:
        seconds: From its acknowledgement to when it was lost at the latest.
        until: That moment, as one would say it: `postgres killed began`.
        is_by_fault: Whether a fault was there that may have taken it.
    """

    seconds: float
    until: str
    is_by_fault: bool

    def is_within(self, rpo_s: float | None) -> bool:
        """Tell whether an objective excuses the loss: what no fault took is excused by none."""
        return rpo_s is not None and self.is_by_fault and self.seconds <= rpo_s


def age_when_lost(acknowledged_s: float, missed_s: float, faults: Sequence[FaultMark]) -> Age:
    """Return how old a write was when it was lost.

    Args:
        acknowledged_s: When its answer was there.
        missed_s: When the read was sent that misses it.
        faults: All that were injected; what the load did is none of them, since it takes no write away.
    """
    hurting = [mark for mark in faults if mark.target]
    begun = [mark for mark in hurting if acknowledged_s <= mark.injected_s <= missed_s]
    if begun:
        last = max(begun, key=lambda mark: mark.injected_s)
        return Age(seconds=last.injected_s - acknowledged_s, until=f"{last.fault} began", is_by_fault=True)
    there = [mark for mark in hurting if mark.injected_s < acknowledged_s < _ended_s(mark)]
    last_s = max(map(_ended_s, there), default=math.inf)
    if last_s < missed_s:
        last = max(there, key=_ended_s)
        return Age(seconds=last_s - acknowledged_s, until=f"{last.fault} ended", is_by_fault=True)
    return Age(seconds=missed_s - acknowledged_s, until="the read that misses it", is_by_fault=bool(there))


def _ended_s(mark: FaultMark) -> float:
    return math.inf if mark.healed_s is None else mark.healed_s
