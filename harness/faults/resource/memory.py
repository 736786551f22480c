"""`memory`: the processes of a service are refused more memory than they have, but for some room.

As under a limit that was counted too tight, or a leak that has come to its end: what asks for more is told that there
is none, and may die of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.faults.process_limits import MEMORY, data_bytes
from harness.faults.resource.limits import LimitAction

if TYPE_CHECKING:
    from harness.faults.action import Site
    from harness.spec.faults import Memory

_MB = 1_000_000


class MemoryAction(LimitAction):
    """Limits the memory of each process to what it has and the room."""

    limit = MEMORY

    def __init__(self, fault: Memory, site: Site) -> None:
        super().__init__(fault, site)
        self._room_bytes = fault.room

    def limit_of(self, pid: int) -> int:
        """Return what it has, and the room."""
        return data_bytes(pid) + self._room_bytes

    def use_of(self, pid: int, limit: int) -> str:
        """Say how much it has."""
        return f"has {data_bytes(pid) / _MB:.1f} of {limit / _MB:.1f} MB that it may take"
