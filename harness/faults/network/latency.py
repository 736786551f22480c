"""`latency`: every answer on the edges into the target arrives later."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from harness.faults.action import Observation
from harness.faults.network.edges import add_toxic, ask, client_bytes, is_toxic_there, settle, together
from harness.faults.undo import take_back
from harness.spec.faults.network import ROUND_TRIPS
from harness.stack.proxy import Toxic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.faults.ledger import Entry, Ledger
    from harness.spec.faults import Latency
    from harness.stack.service import Edge
    from harness.stack.stack import Stack

LOW_TOLERANCE = (0.002, 0.05)
"""A dose may be this much too small: 2 ms or 5 %, whichever is more; the proxy's timers are that exact."""

HIGH_TOLERANCE = (0.050, 0.10)
"""And this much too large: our own question also waits for a busy machine, which is no fault of the dose."""


class LatencyAction:
    """Adds a toxic to each edge, named after the fault: two latencies on one edge add up, and end one by one."""

    def __init__(self, fault: Latency, fault_id: str, edges: Sequence[Edge], stack: Stack) -> None:
        self._fault = fault
        self._name = fault_id
        self._edges = edges
        self._stack = stack
        self._noted: list[Entry] = []

    @staticmethod
    def unavailable(backend: str) -> None:
        """Both proxies can."""

    def begin(self, ledger: Ledger) -> None:
        """Add a toxic to each edge."""
        attributes = latency_attributes(self._fault)
        for edge in self._edges:
            self._noted.append(add_toxic(self._stack, Toxic(edge.name, self._name, "latency", attributes), ledger))

    def observe(self) -> Observation:
        """Ask a question through every edge, and compare the time it takes with the dose that was asked for."""
        before_bytes = self.crossed_bytes()
        seen = together(self._added_s, self._edges)
        settle(self._stack, self._edges, before_bytes)
        said = ", ".join(f"{edge.name} +{added_s * 1000:.0f} ms" for edge, added_s in seen)
        is_delivered = all(self._is_dose(added_s, self._others(edge)) for edge, added_s in seen)
        return Observation(is_delivered, f"{said} (asked: {self._fault})")

    def crossed_bytes(self) -> int:
        """Return what clients sent through all its edges so far."""
        return client_bytes(self._stack, self._edges)

    def end(self, ledger: Ledger) -> None:
        """Remove the toxics, and see that they are gone."""
        take_back(self._noted, ledger, is_there=lambda entry: is_toxic_there(self._stack, entry))

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
        return [toxic for toxic in toxics if toxic.kind == "latency" and toxic.name != self._name]

    def _is_dose(self, added_s: float, others: Sequence[Toxic]) -> bool:
        delay_s = self._fault.delay + sum(toxic.attributes["latency"] for toxic in others) / 1000
        jitter_s = self._fault.jitter + sum(toxic.attributes["jitter"] for toxic in others) / 1000
        low_s = delay_s - jitter_s - max(LOW_TOLERANCE[0], LOW_TOLERANCE[1] * self._fault.delay)
        high_s = delay_s + jitter_s + max(HIGH_TOLERANCE[0], HIGH_TOLERANCE[1] * delay_s)
        return low_s <= added_s <= high_s


def latency_attributes(fault: Latency) -> dict[str, int]:
    """Return Toxiproxy's attributes, whole milliseconds.

    Source: Toxiproxy 2.12 README, "Toxics", latency.
    """
    return {"latency": round(fault.delay * 1000), "jitter": round(fault.jitter * 1000)}
