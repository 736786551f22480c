"""`down`: every edge into the target refuses connections and drops open ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.faults.action import Observation
from harness.faults.network.edges import api_of, ask, edges_into
from harness.faults.undo import take_back

if TYPE_CHECKING:
    from harness.faults.action import Site
    from harness.faults.ledger import Entry, Ledger
    from harness.spec.faults import Down
    from harness.stack.service import Edge
    from harness.stack.stack import Stack


class DownAction:
    """Disables the proxy of each edge; one that another fault has disabled as well stays so until that one ends."""

    def __init__(self, fault: Down, site: Site) -> None:
        self._edges = edges_into(fault, site.stack)
        self._stack = site.stack
        self._noted: list[Entry] = []

    @staticmethod
    def unavailable(backend: str) -> None:
        """Both proxies can."""

    def begin(self, ledger: Ledger) -> None:
        """Disable each edge's proxy."""
        for edge in self._edges:
            self._noted.append(_note(edge, self._stack, ledger))
            self._stack.proxy.disable(edge.name)

    def observe(self) -> Observation:
        """See that a new connection is refused on every edge."""
        refused = {edge.name: _is_refused(self._stack, edge) for edge in self._edges}
        said = [f"{name} {'refuses' if is_so else 'still answers'}" for name, is_so in refused.items()]
        return Observation(all(refused.values()), ", ".join(said))

    def crossed_bytes(self) -> None:
        """Nothing crosses what refuses."""

    def end(self, ledger: Ledger) -> None:
        """Enable each edge's proxy again, and see that it listens."""
        take_back(self._noted, ledger, is_there=lambda entry: not self._stack.proxy.is_enabled(entry.facts["edge"]))


def _is_refused(stack: Stack, edge: Edge) -> bool:
    """Tell whether the edge lets nothing through.

    A published port of a container is answered by the engine, which accepts, finds nothing behind it and closes: that
    is a refusal as well, where the proxy itself says that it does not listen.
    """
    try:
        ask(stack, edge)
    except TimeoutError:
        return False
    except ConnectionError:
        return not stack.proxy.is_enabled(edge.name)
    return False


def _note(edge: Edge, stack: Stack, ledger: Ledger) -> Entry:
    return ledger.note("disabled", edge.name, edge=stack.proxy.called(edge.name), **api_of(stack))
