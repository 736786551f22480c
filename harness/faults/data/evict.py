"""`evict`: a Redis has room for a part of what it holds, and drops the rest, now and whenever more comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.faults.action import Observation
from harness.faults.data.doors import ask_redis
from harness.faults.data.memory import RedisMemoryAction
from harness.faults.redis_server import memory_use

if TYPE_CHECKING:
    from harness.faults.action import Site
    from harness.faults.ledger import Ledger
    from harness.spec.faults import Evict
    from harness.stack.service import Edge


class EvictAction(RedisMemoryAction):
    """Leaves room for a share of what is there now, beside what Redis needs for itself."""

    def __init__(self, fault: Evict, site: Site) -> None:
        super().__init__(fault, site)
        self._fault = fault
        self._limit_bytes: int | None = None
        self._before = 0

    def begin(self, ledger: Ledger) -> None:
        """Note the bound, and set one that is reached already."""
        use = memory_use(self._service.direct)
        self._before = use.evicted
        limit_bytes = use.own_bytes + round(self._fault.keep * (use.used_bytes - use.own_bytes))
        self._limit(ledger, limit_bytes, self._fault.policy)
        self._limit_bytes = limit_bytes

    def look(self, edge: Edge) -> Observation:
        """See the bound through the edge, and that keys were dropped since it is there."""
        told = dict(
            line.split(":", 1) for line in ask_redis(self._stack, edge, "INFO stats memory").splitlines() if ":" in line
        )
        bound, evicted = int(told["maxmemory"]), int(told["evicted_keys"]) - self._before
        is_dose = bound == self._limit_bytes and told["maxmemory_policy"] == self._fault.policy and evicted > 0
        seen = f"{edge.name} has dropped {evicted} keys, {told['used_memory']} of {bound} bytes used"
        return Observation(is_dose, seen)

    def end(self, ledger: Ledger) -> None:
        """Set what was set before."""
        self._limit_bytes = None
        super().end(ledger)
