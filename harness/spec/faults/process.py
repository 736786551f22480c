"""Faults of a process: a target is a service, on whatever it runs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.spec.faults.target import Targeted
from harness.spec.quantity import Duration, duration_text


class Kill(Targeted):
    """The target's process gets SIGKILL; healing starts it again on the same address."""

    kind: Literal["kill"]

    def __str__(self) -> str:
        return f"{self.target} killed"


class Pause(Targeted):
    """All processes of the target are frozen: its connections stay open, and nothing answers until they are thawed."""

    kind: Literal["pause"]

    def __str__(self) -> str:
        return f"{self.target} paused"


class SlowStart(Targeted):
    """The target is restarted, and its start takes longer by `delay`: its process is there, and does not listen.

    Attributes:
        delay: From the restart until its program begins to run; the fault is over then.
    """

    kind: Literal["slow-start"]
    delay: Duration = Field(gt=0, le=3600)

    def __str__(self) -> str:
        return f"{self.target} starts {duration_text(self.delay)} late"


ProcessFault = Kill | Pause | SlowStart
