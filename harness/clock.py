"""Time as an argument: the real clock, a fake one, and waiting for a condition.

Times are `CLOCK_MONOTONIC` seconds, which on one host every process reads alike, so that what the load generator
saw and what the fault ledger noted can be laid on one axis.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock(Protocol):
    """Tell the time and let it pass."""

    def now(self) -> float:
        """Return monotonic seconds; only differences mean anything."""

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""


class SystemClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Return `CLOCK_MONOTONIC` in seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block this thread."""
        time.sleep(max(0.0, seconds))


class FakeClock:
    """A clock that moves only when told to; sleeping moves it at once."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def now(self) -> float:
        """Return the time that tests have let pass, in seconds."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Advance by `seconds`."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass; time never runs backwards.

        Raises:
            ValueError: If `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError(f"time cannot run backwards by {seconds} s")
        self.now_s += seconds


def is_met_within(condition: Callable[[], bool], *, deadline_s: float, clock: Clock, every_s: float = 0.02) -> bool:
    """Poll `condition` until it holds or `deadline_s` have passed; tell which.

    The condition is asked at least once, and once more at the deadline, so that a slow machine is not
    failed for a condition that did come true.
    """
    until = clock.now() + deadline_s
    while clock.now() < until:
        if condition():
            return True
        clock.sleep(every_s)
    return condition()
