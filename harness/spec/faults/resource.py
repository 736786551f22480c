"""Faults of a resource: there is less of it than before, for all on the machine or for the processes of one service.

Nothing is broken, and nothing is in the way: what is asked for is not to be had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from harness.spec.faults.data import POSTGRES
from harness.spec.faults.target import Windowed
from harness.spec.quantity import Size, size_text

if TYPE_CHECKING:
    from collections.abc import Iterable

COMPUTED_FOR_S = 0.5
"""How long strangers are watched, at the least: their time is counted to the tick of a processor's scheduler, some
milliseconds, so that half a second shows what they had to a few per cent."""


DISK_BYTES = 256_000_000
"""A cluster that is new has 40 MB, and its log grows by segments of 16 MB; what is not written takes no memory."""

LEAST_DISK_BYTES = 100_000_000
"""Less is full before a story has begun: a new cluster, and the segment that is begun for the fault, have 56 MB."""

MOST_LEFT_BYTES = 10_000_000
"""A look at the dose has to want more than is left."""


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


class DiskFull(Windowed):
    """The target has no room left on its disk: it may write over what it has there, and add nothing.

    Its data stand on a small disk of their own from its start on, which is memory, and which one file fills.

    Attributes:
        size: How large that disk is.
        leaving: How much the file leaves, to the block of the disk.
    """

    component: ClassVar[str] = POSTGRES
    kind: Literal["disk-full"]
    size: Size = Field(default=DISK_BYTES, ge=LEAST_DISK_BYTES, le=10_000_000_000)
    leaving: Size = Field(default=0, ge=0, le=MOST_LEFT_BYTES)

    @property
    def setting(self) -> str:
        """Return what it takes that there is one of."""
        return "disk"

    def __str__(self) -> str:
        left = size_text(self.leaving) if self.leaving else "no room"
        return f"{self.target} has {left} left on its disk{self.when}"


LimitFault = Memory | Descriptors
"""What is done to the processes of one service."""

ResourceFault = Cpu | LimitFault | DiskFull


def disks_of(faults: Iterable[Any]) -> dict[str, int]:
    """Return how large a disk for itself each component needs that one of `faults` fills, in bytes, by its name."""
    sizes = dict[str, int]()
    for fault in faults:
        if isinstance(fault, DiskFull):
            sizes[fault.target] = max(fault.size, sizes.get(fault.target, 0))
    return sizes
