"""Faults of a clock: the target is a replica of the judged service, which is told how far its clocks are off."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from harness.spec.faults.target import Windowed
from harness.spec.quantity import Duration, Offset, duration_text, offset_text

LEAST_S = 2.0
"""What a clock is off at the least: the time that a replica tells is some hundred milliseconds old on a busy
machine."""

MOST_S = 7 * 24 * 3600.0
"""A week; what is written of a duration has six digits."""


class ClockSkew(Windowed):
    """The target's clocks are off: the one that people set, the one that only runs, or both.

    Attributes:
        wall: How far its wall clock is ahead (`+1h`) or behind (`-1h`) while the fault is there.
        monotonic: How far its monotonic clock jumps ahead when the fault begins, as after a machine was suspended. It
            stays there, since it never runs backwards: what counts by it knows differences alone.
    """

    kind: Literal["clock-skew"]
    wall: Offset = Field(default=0.0, ge=-MOST_S, le=MOST_S)
    monotonic: Duration = Field(default=0.0, ge=0, le=MOST_S)

    @property
    def setting(self) -> str:
        """Return what it sets that has one value at a time."""
        return "clock"

    @model_validator(mode="after")
    def _can_be_seen(self) -> Self:
        least = duration_text(LEAST_S)
        if not self.wall and not self.monotonic:
            raise ValueError("no clock would be off; say `wall`, such as +1h, or `monotonic`, such as 1h")
        if 0 < abs(self.wall) < LEAST_S or 0 < self.monotonic < LEAST_S:
            raise ValueError(f"a clock that is off by less than {least} cannot be told from one that is right")
        return self

    def __str__(self) -> str:
        clocks = [f"wall clock {offset_text(self.wall)}"] if self.wall else []
        clocks += [f"monotonic clock {offset_text(self.monotonic)}"] if self.monotonic else []
        return f"{self.target} with its {' and its '.join(clocks)}{self.when}"


ClockFault = ClockSkew
