"""`stale-connections`: connections to the target that were open before fall silent, and new ones work.

A toxic of our own proxy. On each edge one connection is opened before it, and is asked at every look: what befalls it
befalls a pool's. A service may end one that says nothing for long, as PostgreSQL does after a minute; it has been told
apart from a cut one by then, and from there on the proxy's own word counts.
"""

from __future__ import annotations

import select
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

from harness.faults.action import Observation
from harness.faults.network.edges import ask
from harness.faults.network.toxic import ToxicAction, why_not_real
from harness.spec.faults.target import SILENCE_S
from harness.stack.proxy import Toxic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.faults.action import Site
    from harness.faults.ledger import Ledger
    from harness.spec.faults import StaleConnections
    from harness.stack.service import Edge

STREAMS = ("upstream", "downstream")

_GREETING_BYTES = 1 << 12


class StaleConnectionsAction(ToxicAction):
    """Swallows both directions of what is open on each edge."""

    def __init__(self, fault: StaleConnections, site: Site) -> None:
        super().__init__(fault, site)
        self._held: dict[str, socket.socket] = {}
        self._letting_go = ExitStack()
        self._was_silent: set[str] = set()

    @staticmethod
    def unavailable(backend: str) -> str | None:
        """Say why it cannot be done: it needs our own proxy."""
        return why_not_real(backend, "tells open connections from new ones")

    def begin(self, ledger: Ledger) -> None:
        """Open a connection on each edge, then do it."""
        with ExitStack() as opened:
            places = {edge.name: (edge.listen.host, edge.listen.port) for edge in self._edges}
            held = {
                name: opened.enter_context(socket.create_connection(place, timeout=SILENCE_S))
                for name, place in places.items()
            }
            for edge in self._edges:
                if self._stack.services[edge.server].greets:  # what it says first is no answer to what is asked later
                    held[edge.name].recv(_GREETING_BYTES)
            super().begin(ledger)
            self._held, self._letting_go = held, opened.pop_all()

    def end(self, ledger: Ledger) -> None:
        """Undo it, and let go of what was held."""
        self._held.clear()
        self._letting_go.close()
        super().end(ledger)

    def toxics(self, edge: Edge) -> Iterable[Toxic]:
        """Return one for each direction."""
        for stream in STREAMS:
            yield Toxic(edge.name, f"{self._fault_id}-{stream}", "stale_connections", {}, stream)

    def look(self, edge: Edge) -> Observation:
        """See that what was open is silent, and that a new connection is answered."""
        try:
            ask(self._stack, edge)
        except OSError as error:
            said = f"{edge.name} does not answer on a new connection: {type(error).__name__}"
            return Observation(is_delivered=False, seen=said)
        held = self._held.get(edge.name)
        if held is None:
            return Observation(is_delivered=False, seen=f"{edge.name} has no connection that was open before")
        heard = self._heard_on(held, edge)
        return Observation(self._is_stale(heard, edge), f"{edge.name} answers new connections, and open ones {heard}")

    def _heard_on(self, held: socket.socket, edge: Edge) -> str:
        """Ask on a connection that was open before; say what comes."""
        question = self._stack.services[edge.server].question
        try:
            if _has_ended(held):  # what is sent into it would never be counted
                return "were ended"
            held.sendall(question)
            self._stack.proxy.note_question(edge.name, len(question))
            return "are answered" if held.recv(1) else "were ended"
        except TimeoutError:
            return f"are silent for {SILENCE_S:g} s"
        except OSError:
            return "were ended"

    def _is_stale(self, heard: str, edge: Edge) -> bool:
        if heard == "were ended":
            return edge.name in self._was_silent and len(self._own(edge)) == len(STREAMS)
        is_silent = heard.startswith("are silent")
        if is_silent:
            self._was_silent.add(edge.name)
        return is_silent

    def _own(self, edge: Edge) -> list[Toxic]:
        """Return what of this fault the proxy still names."""
        names = {toxic.name for toxic in self.toxics(edge)}
        return [toxic for toxic in self._stack.proxy.toxics(edge.name) if toxic.name in names]


def _has_ended(connection: socket.socket) -> bool:
    """Tell whether the other side has ended it; raises OSError if it has reset it."""
    readable, _, _ = select.select([connection], [], [], 0)
    return bool(readable) and not connection.recv(1, socket.MSG_PEEK)
