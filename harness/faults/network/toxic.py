"""What all faults share that are toxics: how they are added, looked at, counted and removed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from harness.faults.network.edges import api_of, client_bytes, edges_into, look_at
from harness.faults.undo import take_back
from harness.stack.backends.choice import CONTAINERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from harness.faults.action import Observation, Site
    from harness.faults.ledger import Entry, Ledger
    from harness.spec.faults import NetworkFault
    from harness.stack.proxy import Toxic
    from harness.stack.service import Edge

TRIES = 3
"""How often what is timed is looked at before it is said to be wrong."""


def why_not_real(backend: str, done: str) -> str | None:
    """Say that a toxic is our own proxy's alone, where the real Toxiproxy runs; None elsewhere.

    Args:
        backend: Ours runs on the embedded one.
        done: What no toxic of the real one does.
    """
    if backend != CONTAINERS:
        return None
    return f"no toxic of Toxiproxy {done}; the harness's own proxy does: --backend embedded"


def seen_in_time(look: Callable[[], Observation]) -> Observation:
    """Look up to three times, until the dose is seen: a busy machine makes a look late, and no dose of none."""
    for _ in range(TRIES - 1):
        seen = look()
        if seen.is_delivered:
            return seen
    return look()


class ToxicAction(ABC):
    """Adds toxics to each edge, named after the fault: two of one kind on one edge add up, and end one by one."""

    def __init__(self, fault: NetworkFault, site: Site) -> None:
        self._stack = site.stack
        self._fault_id = site.fault_id
        self._edges = edges_into(fault, site.stack)
        self._noted: list[Entry] = []

    @staticmethod
    def unavailable(backend: str) -> str | None:  # noqa: ARG004 - see `Action`
        """Both proxies have every toxic."""
        return None

    @abstractmethod
    def toxics(self, edge: Edge) -> Iterable[Toxic]:
        """Return what is added to an edge."""

    @abstractmethod
    def look(self, edge: Edge) -> Observation:
        """Look at the dose on an edge, at the same time as at the others'."""

    def begin(self, ledger: Ledger) -> None:
        """Note each toxic, then add it."""
        for edge in self._edges:
            for toxic in self.toxics(edge):
                self._noted.append(self._note(toxic, ledger))
                self._stack.proxy.add(toxic)

    def observe(self) -> Observation:
        """Look at every edge."""
        return look_at(self._stack, self._edges, self.look)

    def crossed_bytes(self) -> int:
        """Return what clients sent into all its edges so far."""
        return client_bytes(self._stack, self._edges)

    def end(self, ledger: Ledger) -> None:
        """Remove the toxics, and see that they are gone."""
        take_back(self._noted, ledger, is_there=self._is_there)

    def _note(self, toxic: Toxic, ledger: Ledger) -> Entry:
        name = f"{toxic.name} on {toxic.edge}"
        called = self._stack.proxy.called(toxic.edge)
        return ledger.note("toxic", name, edge=called, toxic=toxic.name, **api_of(self._stack))

    def _is_there(self, entry: Entry) -> bool:
        """Tell whether the toxic that an entry announced is on its edge."""
        return entry.facts["toxic"] in {toxic.name for toxic in self._stack.proxy.toxics(entry.facts["edge"])}
