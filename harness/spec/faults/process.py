"""Faults of a process: a target is a service, on whatever it runs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.spec.faults.target import SILENCE_S, Targeted, Windowed
from harness.spec.quantity import Duration, duration_text


class Kill(Windowed):
    """The target's process gets SIGKILL; healing starts it again on the same address."""

    kind: Literal["kill"]

    def __str__(self) -> str:
        return f"{self.target} killed{self.when}"


class Pause(Windowed):
    """All processes of the target are frozen: its connections stay open, and nothing answers until they are thawed."""

    kind: Literal["pause"]

    @property
    def look_s(self) -> float:
        """Return how long silence is listened to."""
        return SILENCE_S

    def __str__(self) -> str:
        return f"{self.target} paused{self.when}"


class SlowStart(Targeted):
    """The target is restarted, and its start takes longer by `delay`: its process is there, and does not listen.

    Attributes:
        delay: From the restart until its program begins to run; the fault is over then, so it has neither `for` nor
            `until`, and no profile stretches it.
    """

    kind: Literal["slow-start"]
    delay: Duration = Field(gt=0, le=3600)

    @property
    def end_key(self) -> str:
        """Return the key that says when it ends."""
        return "delay"

    def ends_after_s(self, phase_lasts_s: float) -> float:  # noqa: ARG002 - its own length is what it does
        """Return when its program begins to run, in seconds after its phase has begun."""
        return self.at + self.delay

    @property
    def spans(self) -> bool:
        """Tell that it does not: a start that took longer in a longer phase would be another fault."""
        return False

    def __str__(self) -> str:
        return f"{self.target} starts {duration_text(self.delay)} late{self.when}"


ProcessFault = Kill | Pause | SlowStart
