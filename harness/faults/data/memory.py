"""What faults share that bound the memory of a Redis: `maxmemory`, and what is done when it is used up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.faults.data.action import DataAction
from harness.faults.redis_server import is_limited, limit_memory, memory_facts

if TYPE_CHECKING:
    from harness.faults.ledger import Entry, Ledger


class RedisMemoryAction(DataAction):
    """Bounds the memory, and sets what was set before at its end."""

    def _limit(self, ledger: Ledger, limit_bytes: int, policy: str) -> None:
        """Note what is set now, and set another bound."""
        facts = memory_facts(self._service.direct)
        self._noted.append(ledger.note("redis-memory", self._service.name, **facts))
        limit_memory(self._service.direct, limit_bytes, policy)

    def _is_there(self, entry: Entry) -> bool:
        """Tell whether that server has another bound than before; one that was started anew has its own."""
        return is_limited(entry.facts)
