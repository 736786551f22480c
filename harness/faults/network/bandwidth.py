"""`bandwidth`: each connection gets its answers on the edges into the target at a rate, one byte after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.faults.action import Observation
from harness.faults.network.edges import hear
from harness.faults.network.latency import HIGH_TOLERANCE, LOW_TOLERANCE
from harness.faults.network.toxic import ToxicAction, seen_in_time
from harness.spec.quantity import size_text
from harness.stack.conversation import converse
from harness.stack.proxy import Toxic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.faults.action import Site
    from harness.spec.faults import Bandwidth
    from harness.stack.conversation import Heard
    from harness.stack.service import Edge

TIMED_S = 0.1
"""What is asked for takes so long at the rate: enough to be timed, and little beside what the service sends."""

TOLD_RATIO = 2.0
"""A transfer must take so many times as long as a direct one: the service itself may be as slow on a busy machine."""


class BandwidthAction(ToxicAction):
    """Narrows the answers of each edge."""

    def __init__(self, fault: Bandwidth, site: Site) -> None:
        super().__init__(fault, site)
        self._rate = fault.rate

    def toxics(self, edge: Edge) -> Iterable[Toxic]:
        """Return one toxic; its KB has 1000 bytes (Toxiproxy 2.12, observed)."""
        yield Toxic(edge.name, self._fault_id, "bandwidth", {"rate": self._rate // 1000})

    def look(self, edge: Edge) -> Observation:
        """Time a transfer through the edge, beside the same one with no proxy between."""
        return seen_in_time(lambda: self._look_once(edge))

    def _look_once(self, edge: Edge) -> Observation:
        service = self._stack.services[edge.server]
        question = service.long_question(max(1, round(self._rate * TIMED_S)))
        try:
            direct, through = converse(service.direct, question), hear(self._stack, edge, question)
        except OSError as error:
            return Observation(is_delivered=False, seen=f"{edge.name} does not transfer: {type(error).__name__}")
        return Observation(self._is_dose(through, direct), _told(edge, through, direct))

    def _is_dose(self, through: Heard, direct: Heard) -> bool:
        """Compare with the time that so many bytes take at the rate; they are sent while the next are still made."""
        if through.ended != "closed" or not through.length_bytes:
            return False
        wire_s = through.length_bytes / self._rate
        low_s = wire_s - max(LOW_TOLERANCE[0], LOW_TOLERANCE[1] * wire_s)
        high_s = wire_s + direct.took_s + max(HIGH_TOLERANCE[0], HIGH_TOLERANCE[1] * wire_s)
        return low_s <= through.took_s <= high_s and through.took_s >= TOLD_RATIO * direct.took_s


def _told(edge: Edge, through: Heard, direct: Heard) -> str:
    if through.ended != "closed":
        return f"{edge.name} {through.ended} after {size_text(through.length_bytes)}"
    each_s = through.length_bytes / through.took_s
    return f"{edge.name} at {each_s / 1000:.1f}KB/s, {through.took_s / direct.took_s:.1f} times as long as direct"
