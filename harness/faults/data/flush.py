"""`flush`: everything in a Redis is gone at once.

A key of our own is put there just before, and seen to be gone through every edge: on a service under load others are
back at once, so that how many keys there are says nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.faults.action import Observation
from harness.faults.data.action import DataAction
from harness.faults.data.doors import ask_redis
from harness.faults.redis_server import changing

if TYPE_CHECKING:
    from harness.faults.action import Site
    from harness.faults.ledger import Ledger
    from harness.spec.faults import Flush
    from harness.stack.service import Edge


class FlushAction(DataAction):
    """Removes every key; nothing of it is left to undo."""

    def __init__(self, fault: Flush, site: Site) -> None:
        super().__init__(fault, site)
        self._key = f"readiness-{site.fault_id}"
        self._keys: int | None = None

    def begin(self, ledger: Ledger) -> None:  # noqa: ARG002 - what is gone needs no undoing, and the key goes with it
        """Put a key there, and flush."""
        with changing(self._service.direct) as client:
            client.set(self._key, "there before the flush")
            self._keys = int(client.dbsize()) - 1
            client.flushall()

    def look(self, edge: Edge) -> Observation:
        """See that the key is gone, through the edge."""
        if self._keys is None:
            return Observation(is_delivered=False, seen=f"{edge.name}: nothing was flushed")
        answer = ask_redis(self._stack, edge, f"EXISTS {self._key}")
        if answer != ":0":
            return Observation(is_delivered=False, seen=f"{edge.name} still has what was there before: {answer}")
        return Observation(is_delivered=True, seen=f"{edge.name} has none of the {self._keys} keys from before")

    def end(self, ledger: Ledger) -> None:
        """Have it over: what is missing now comes back as it is loaded."""
        self._keys = None
        super().end(ledger)
