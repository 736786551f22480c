"""What all faults of data share: whom they hurt, and how they are looked at, counted and undone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from harness.errors import FaultError
from harness.faults.action import Observation
from harness.faults.network.edges import client_bytes, look_at
from harness.faults.undo import take_back
from harness.spec.faults import Failover
from harness.spec.faults.target import nothing_to_hit

if TYPE_CHECKING:
    from harness.faults.action import Site
    from harness.faults.ledger import Entry, Ledger
    from harness.spec.faults import DataFault
    from harness.stack.service import Edge, Service
    from harness.stack.stack import Stack


class DataAction(ABC):
    """Hurts a component at its own address, and looks at it through every edge that leads there."""

    def __init__(self, fault: DataFault, site: Site) -> None:
        self._service = component_of(fault, site.stack)
        self._edges = site.stack.edges_into(fault.target)
        self._stack = site.stack
        self._fault_id = site.fault_id
        self._clock = site.clock
        self._noted: list[Entry] = []

    @staticmethod
    def unavailable(backend: str) -> str | None:  # noqa: ARG004 - see `Action`
        """A server does it to itself, wherever it runs."""
        return None

    @abstractmethod
    def begin(self, ledger: Ledger) -> None:
        """Note what must be undone, then do it."""

    @abstractmethod
    def look(self, edge: Edge) -> Observation:
        """Look at the dose through an edge, at the same time as through the others."""

    def observe(self) -> Observation:
        """Look through every edge."""
        return look_at(self._stack, self._edges, self._look)

    def crossed_bytes(self) -> int:
        """Return what clients sent to the component so far."""
        return client_bytes(self._stack, self._edges)

    def end(self, ledger: Ledger) -> None:
        """Undo it, and see that it is gone."""
        take_back(self._noted, ledger, is_there=self._is_there)

    def _is_there(self, entry: Entry) -> bool:
        """Tell whether what an entry announced is still there; what undoes it has looked, where nothing is said."""
        del entry
        return False

    def _look(self, edge: Edge) -> Observation:
        try:
            return self.look(edge)
        except OSError as error:
            return Observation(is_delivered=False, seen=f"{edge.name} does not answer: {type(error).__name__}")


def component_of(fault: DataFault, stack: Stack) -> Service:
    """Return the component that `fault` hurts.

    Raises:
        FaultError: If there is none of its kind and name; it lists what could be hit.
    """
    known = [name for name, kind in stack.kinds.items() if kind == fault.component]
    if isinstance(fault, Failover):
        known = list(stack.standbys)
    if fault.target not in known:
        fix = f"targets here: {', '.join(sorted(known)) or 'none, no component is a ' + fault.component}"
        raise FaultError(nothing_to_hit(fault), where="the scenario's faults", fix=fix)
    return stack.services[fault.target]
