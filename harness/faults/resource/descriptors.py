"""`descriptors`: the processes of a service can open no more files and connections than they have, but for a few.

As after a leak of connections, or under a limit that was set for fewer clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.faults.process_limits import DESCRIPTORS, limit_leaving, open_descriptors
from harness.faults.resource.limits import LimitAction

if TYPE_CHECKING:
    from harness.faults.action import Site
    from harness.spec.faults import Descriptors


class DescriptorsAction(LimitAction):
    """Limits the descriptors of each process; what it has open stays open, and what it closes it may open again."""

    limit = DESCRIPTORS

    def __init__(self, fault: Descriptors, site: Site) -> None:
        super().__init__(fault, site)
        self._leaving = fault.leaving

    def limit_of(self, pid: int) -> int:
        """Return the number from which on none is given."""
        return limit_leaving(open_descriptors(pid), self._leaving)

    def use_of(self, pid: int, limit: int) -> str:
        """Say how many it has open, and how many more it could open."""
        numbers = open_descriptors(pid)
        free = limit - sum(number < limit for number in numbers)
        return f"has {len(numbers)} descriptors open and can open {free} more"
