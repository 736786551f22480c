"""`reset`: what clients send is lost, and their connections are reset, on both sides.

Toxiproxy's `reset_peer` on questions. Ours resets a connection that was open before, idle or not; the real one waits
for its next byte, and then ends it without RST (Toxiproxy 2.12, observed). Where a container's port is published, what
listens there is the engine, which passes a reset on as an end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.faults.action import Observation
from harness.faults.network.edges import hear
from harness.faults.network.latency import HIGH_TOLERANCE, LOW_TOLERANCE
from harness.faults.network.toxic import ToxicAction, seen_in_time
from harness.stack.backends.choice import CONTAINERS
from harness.stack.proxy import Toxic
from harness.stack.service import SERVICE_ANSWERS_WITHIN_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.faults.action import Site
    from harness.spec.faults import Reset
    from harness.stack.service import Edge


class ResetAction(ToxicAction):
    """Resets the connections on each edge."""

    def __init__(self, fault: Reset, site: Site) -> None:
        super().__init__(fault, site)
        self._after_s = fault.after
        is_published = site.stack.backend == CONTAINERS or site.stack.proxy.is_lent
        self._ends = {"reset", "closed"} if is_published else {"reset"}

    def toxics(self, edge: Edge) -> Iterable[Toxic]:
        """Return one toxic, of whole milliseconds. Source: Toxiproxy 2.12 README, "Toxics", reset_peer."""
        yield Toxic(edge.name, self._fault_id, "reset_peer", {"timeout": round(self._after_s * 1000)}, "upstream")

    def look(self, edge: Edge) -> Observation:
        """See that a question is answered by a reset, when it should be."""
        return seen_in_time(lambda: self._look_once(edge))

    def _look_once(self, edge: Edge) -> Observation:
        service, within_s = self._stack.services[edge.server], self._after_s + SERVICE_ANSWERS_WITHIN_S
        pieces = 2 if service.greets else 1  # what it says before it is asked is cut by nothing
        try:
            heard = hear(self._stack, edge, service.question, within_s=within_s, most_pieces=pieces)
        except OSError as error:
            return Observation(is_delivered=False, seen=f"{edge.name} does not accept: {type(error).__name__}")
        if len(heard.pieces) >= pieces:
            return Observation(is_delivered=False, seen=f"{edge.name} answered {heard.length_bytes} bytes")
        said = f"{edge.name} {heard.ended} after {heard.took_s * 1000:.0f} ms"
        return Observation(heard.ended in self._ends and self._is_in_time(heard.took_s), said)

    def _is_in_time(self, took_s: float) -> bool:
        low_s = self._after_s - max(LOW_TOLERANCE[0], LOW_TOLERANCE[1] * self._after_s)
        return low_s <= took_s <= self._after_s + max(HIGH_TOLERANCE[0], HIGH_TOLERANCE[1] * self._after_s)
