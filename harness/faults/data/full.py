"""`full`: a Redis has no room left: it refuses what needs some, and answers reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.faults.action import Observation
from harness.faults.data.doors import ask_redis
from harness.faults.data.memory import RedisMemoryAction
from harness.faults.data.pause_clients import READ, WRITE

if TYPE_CHECKING:
    from harness.faults.ledger import Ledger
    from harness.stack.service import Edge

LEAST_BYTES = 1
"""Less than any Redis uses; 0 would be no bound at all."""


class FullAction(RedisMemoryAction):
    """Bounds the memory to less than is used, and has nothing dropped."""

    def begin(self, ledger: Ledger) -> None:
        """Note the bound, and set one that is reached whatever happens."""
        self._limit(ledger, LEAST_BYTES, "noeviction")

    def look(self, edge: Edge) -> Observation:
        """See that a write is refused for want of memory through the edge, and a read is not."""
        read, written = (ask_redis(self._stack, edge, command) for command in (READ, WRITE))
        is_dose = written.startswith("-OOM") and not read.startswith("-")
        return Observation(is_dose, f"{edge.name} says {written.split('.')[0]} to a write, {read} to a read")
