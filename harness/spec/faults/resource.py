"""Faults of a resource: there is less of it than before, for all on the machine or for the processes of one service.

Nothing is broken, and nothing is in the way: what is asked for is not to be had.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.spec.faults.target import Windowed
from harness.spec.quantity import Size, size_text

COMPUTED_FOR_S = 0.5
"""How long strangers are watched, at the least: their time is counted to the tick of a processor's scheduler, some
milliseconds, so that half a second shows what they had to a few per cent."""


class Cpu(Windowed):
    """The target, which is `machine`, has strangers that compute: each wants a processor, and shares what there is.

    Attributes:
        strangers: How many processes, each in a session of its own: a scheduler that shares by session would give all
            of one session together what it gives the service.
    """

    kind: Literal["cpu"]
    strangers: int = Field(ge=1, le=64)

    @property
    def look_s(self) -> float:
        """Return how long they are watched."""
        return COMPUTED_FOR_S

    def __str__(self) -> str:
        return f"{self.target} has {self.strangers} stranger{'s' if self.strangers > 1 else ''} computing{self.when}"


class Memory(Windowed):
    """The target's processes may take no more memory than they have and some room: what is beyond is refused.

    Attributes:
        room: What each of its processes may still take.
    """

    kind: Literal["memory"]
    room: Size = Field(ge=0, le=1_000_000_000_000)

    def __str__(self) -> str:
        return f"{self.target} has {size_text(self.room)} of memory left{self.when}"


class Descriptors(Windowed):
    """The target's processes may open no more files and connections than they have, but for a few.

    Attributes:
        leaving: How many each of its processes may still open, beside what it closes meanwhile.
    """

    kind: Literal["descriptors"]
    leaving: int = Field(default=0, ge=0, le=1_000_000)

    def __str__(self) -> str:
        return f"{self.target} has {self.leaving or 'no'} descriptors left{self.when}"


LimitFault = Memory | Descriptors
"""What is done to the processes of one service."""

ResourceFault = Cpu | LimitFault
