"""A running system: its services, the edges between them, and the fault proxy that all edges run through."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.history.marks import Startup
    from harness.stack.proxy import ProxyServer
    from harness.stack.service import Address, Edge, Service

REPLICA = "replica-"
"""Beginning of the name of every replica of the judged service; a number follows."""

REPLICAS = "replicas"
"""What a fault targets that is about all of them."""

MACHINE = "machine"
"""What a fault targets that is about all that runs here: every path crosses it."""

SUBJECT = "subject"
"""Name of the judged service where it runs already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A running system.

    Attributes:
        backend: `embedded` or `containers`.
        services: By name, in the order in which they were started.
        edges: Every edge.
        proxy: The fault proxy that all edges run through.
        entry: Where clients of the system send their requests.
        startup: How long each part took.
        kinds: The kind of each component that was started for it, by name.
    """

    backend: str
    services: Mapping[str, Service]
    edges: tuple[Edge, ...]
    proxy: ProxyServer
    entry: Address
    startup: tuple[Startup, ...]
    kinds: Mapping[str, str] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        """Return the URL that load is sent to."""
        return f"http://{self.entry}"

    @property
    def replicas(self) -> dict[str, Address]:
        """Return where each replica of the judged service listens, with no proxy between, by name."""
        names = [name for name in self.services if name.startswith(REPLICA) or name == SUBJECT]
        return {name: self.services[name].direct for name in names}

    def edges_into(self, target: str) -> tuple[Edge, ...]:
        """Return the edges that `target` names, maybe none: one by its name, or all into a service or the replicas.

        All of them cross the machine.
        """
        if target == MACHINE:
            return self.edges
        return tuple(
            edge
            for edge in self.edges
            if target in (edge.server, edge.name) or (target == REPLICAS and edge.server.startswith(REPLICA))
        )

    def sent_bytes(self, target: str) -> int:
        """Return how many bytes clients have sent so far on the edges into `target`, the harness's looks aside."""
        return sum(self.proxy.client_bytes(edge.name) for edge in self.edges_into(target))
