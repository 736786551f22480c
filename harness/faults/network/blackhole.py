"""`blackhole`: connections to the target are accepted and stay open, and nothing passes, in either direction.

Toxiproxy's `timeout` of 0 in both directions, which our own proxy does alike. What it swallows is lost, so when the
fault ends the proxy closes the connections that were hurt: in a real network their peers would send again instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.faults.action import Observation
from harness.faults.network.edges import add_toxic, ask, client_bytes, is_toxic_there, settle, together
from harness.faults.undo import take_back
from harness.spec.faults.target import SILENCE_S
from harness.stack.proxy import Toxic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.faults.ledger import Entry, Ledger
    from harness.stack.service import Edge
    from harness.stack.stack import Stack

STREAMS = ("upstream", "downstream")


class BlackholeAction:
    """Adds a toxic for each direction to each edge, named after the fault."""

    def __init__(self, fault_id: str, edges: Sequence[Edge], stack: Stack) -> None:
        self._fault_id = fault_id
        self._edges = edges
        self._stack = stack
        self._noted: list[Entry] = []

    @staticmethod
    def unavailable(backend: str) -> None:
        """Both proxies can."""

    def begin(self, ledger: Ledger) -> None:
        """Add the toxics; a timeout of 0 never closes."""
        for edge in self._edges:
            for stream in STREAMS:
                toxic = Toxic(edge.name, f"{self._fault_id}-{stream}", "timeout", {"timeout": 0}, stream)
                self._noted.append(add_toxic(self._stack, toxic, ledger))

    def observe(self) -> Observation:
        """See that a new connection through every edge is accepted and not answered, while the service answers."""
        before_bytes = self.crossed_bytes()
        looks = together(self._is_silent, self._edges)
        settle(self._stack, self._edges, before_bytes)
        return Observation(all(is_so for _, (is_so, _) in looks), ", ".join(said for _, (_, said) in looks))

    def crossed_bytes(self) -> int:
        """Return what clients sent into all its edges so far: the proxy takes it, and drops it."""
        return client_bytes(self._stack, self._edges)

    def end(self, ledger: Ledger) -> None:
        """Remove the toxics, and see that they are gone."""
        take_back(self._noted, ledger, is_there=lambda entry: is_toxic_there(self._stack, entry))

    def _is_silent(self, edge: Edge) -> tuple[bool, str]:
        try:
            took_s = ask(self._stack, edge, within_s=SILENCE_S)
        except TimeoutError:
            return self._answers_directly(edge)
        except OSError as error:
            return False, f"{edge.name} does not stay open: {type(error).__name__}"
        return False, f"{edge.name} answered after {took_s * 1000:.0f} ms"

    def _answers_directly(self, edge: Edge) -> tuple[bool, str]:
        """Tell a swallowed question from a service that answers nothing at all, which is another fault."""
        service = self._stack.services[edge.server]
        try:
            service.round_trip_s(service.direct, within_s=SILENCE_S)
        except OSError:
            return False, f"{edge.name} is silent, but so is {service.name} itself"
        return True, f"{edge.name} accepts and is silent for {SILENCE_S:g} s"
