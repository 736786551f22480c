"""`latency`: every answer on the edges into the target arrives later."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from harness.faults.action import Observation
from harness.faults.network.edges import ask
from harness.faults.network.toxic import ToxicAction
from harness.spec.faults.network import ROUND_TRIPS
from harness.stack.proxy import Toxic

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.faults.action import Site
    from harness.spec.faults import Latency
    from harness.stack.service import Edge

LOW_TOLERANCE = (0.002, 0.05)
"""A dose may be this much too small: 2 ms or 5 %, whichever is more; the proxy's timers are that exact."""

HIGH_TOLERANCE = (0.050, 0.10)
"""And this much too large: our own question also waits for a busy machine, which is no fault of the dose."""


class LatencyAction(ToxicAction):
    """Delays the answers of each edge."""

    def __init__(self, fault: Latency, site: Site) -> None:
        super().__init__(fault, site)
        self._fault = fault

    def toxics(self, edge: Edge) -> Iterable[Toxic]:
        """Return one toxic, of whole milliseconds. Source: Toxiproxy 2.12 README, "Toxics", latency."""
        attributes = {"latency": round(self._fault.delay * 1000), "jitter": round(self._fault.jitter * 1000)}
        yield Toxic(edge.name, self._fault_id, "latency", attributes)

    def look(self, edge: Edge) -> Observation:
        """Compare the time that a question through the edge takes with the dose that was asked for."""
        added_s = self._added_s(edge)
        return Observation(self._is_dose(added_s, self._others(edge)), f"{edge.name} +{added_s * 1000:.0f} ms")

    def observe(self) -> Observation:
        """Look at every edge, and repeat what was asked for."""
        seen = super().observe()
        return Observation(seen.is_delivered, f"{seen.seen} (asked: {self._fault})")

    def _added_s(self, edge: Edge) -> float:
        """Return by how much the edge slows a conversation down: its round trip less the direct one, in seconds."""
        service = self._stack.services[edge.server]
        through = [ask(self._stack, edge) for _ in range(ROUND_TRIPS)]
        direct = [service.round_trip_s(service.direct) for _ in range(ROUND_TRIPS)]
        # The quickest direct trip: what a busy machine adds to one must not be taken off the dose.
        return statistics.median(through) - min(direct)

    def _others(self, edge: Edge) -> list[Toxic]:
        """Return the other latencies on an edge: what is seen there is all of them together."""
        toxics = self._stack.proxy.toxics(edge.name)
        return [toxic for toxic in toxics if toxic.kind == "latency" and toxic.name != self._fault_id]

    def _is_dose(self, added_s: float, others: Sequence[Toxic]) -> bool:
        delay_s = self._fault.delay + sum(toxic.attributes["latency"] for toxic in others) / 1000
        jitter_s = self._fault.jitter + sum(toxic.attributes["jitter"] for toxic in others) / 1000
        low_s = delay_s - jitter_s - max(LOW_TOLERANCE[0], LOW_TOLERANCE[1] * self._fault.delay)
        high_s = delay_s + jitter_s + max(HIGH_TOLERANCE[0], HIGH_TOLERANCE[1] * delay_s)
        return low_s <= added_s <= high_s
