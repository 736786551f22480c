"""When a toxic applies: to which connections, at which times, and for how long. An extension of ours.

It is the toxic's field `when`, beside `toxicity`; a toxic without it always applies, and the original ignores it.
"""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.faultproxy.toxics.duration import MAX_MS

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Schedule:
    """Which connections, which times. A field of 0 does not restrict anything.

    The first three count the connections that were made after the toxic; if one of them is given, connections that
    were open before are spared.

    Attributes:
        skip: Spare so many connections, count.
        first: After those, apply to so many connections and to no more, count.
        every: Of those, apply to each so-many-th, count.
        on_ms: Flapping: apply for so long, milliseconds, ...
        off_ms: ... then not for so long, and again.
        lasts_ms: Remove the toxic after so long, milliseconds, so that a test that died leaves no fault behind.
    """

    skip: int = 0
    first: int = 0
    every: int = 0
    on_ms: int = 0
    off_ms: int = 0
    lasts_ms: int = 0

    def problem(self) -> str | None:
        """Say why these values cannot work, or `None` if they can."""
        if not all(0 <= value <= MAX_MS for value in dataclasses.astuple(self)):
            return f"values of when must be from 0 to {MAX_MS}"
        return None if bool(self.on_ms) == bool(self.off_ms) else "on_ms and off_ms need each other"

    def selects(self, place: int) -> bool:
        """Tell whether it applies to a connection.

        Args:
            place: 1 for the first connection after the toxic; below 1 for those before it.
        """
        if not (self.skip or self.first or self.every):
            return True
        counted = place - self.skip
        return counted > 0 and (not self.first or counted <= self.first) and counted % (self.every or 1) == 0

    def shown(self) -> dict[str, int]:
        """Return what is given, in the API's form."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value}


ALWAYS = Schedule()


class Timetable:
    """The times of one toxic, running.

    Args:
        schedule: What to run.
        on_turn: Called with whether the toxic applies, whenever that changes.
        on_end: Called once its time is over.
    """

    def __init__(self, schedule: Schedule, on_turn: Callable[[bool], None], on_end: Callable[[], None]) -> None:
        self._schedule = schedule
        self._on_turn = on_turn
        self._loop = asyncio.get_running_loop()
        self._turn: asyncio.TimerHandle | None = None
        self._end = self._loop.call_later(schedule.lasts_ms / 1000, on_end) if schedule.lasts_ms else None
        # Turns are counted from here, so that lateness of one does not shift the next.
        self._next_s = self._loop.time()
        self._arm(is_on=True)

    def stop(self) -> None:
        """Let nothing happen any more."""
        for timer in (self._turn, self._end):
            if timer:
                timer.cancel()

    def _arm(self, *, is_on: bool) -> None:
        if self._schedule.on_ms:
            self._next_s += (self._schedule.on_ms if is_on else self._schedule.off_ms) / 1000
            self._turn = self._loop.call_at(self._next_s, self._change, not is_on)

    def _change(self, is_on: bool) -> None:  # noqa: FBT001  # a timer passes positions only
        self._arm(is_on=is_on)
        self._on_turn(is_on)
