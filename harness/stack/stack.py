"""A running system: its services, the edges between them, and the fault proxy that all edges run through."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.spec import external

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from harness.history.marks import Startup
    from harness.stack.clock_file import ReplicaClock
    from harness.stack.disk import Disk
    from harness.stack.elsewhere import Elsewhere
    from harness.stack.proxy import ProxyServer
    from harness.stack.replication import Replication
    from harness.stack.service import Address, Edge, Service

REPLICA = "replica-"
"""Beginning of the name of every replica of the judged service; a number follows."""

STANDBY = "-standby"
"""End of the name of every standby; that of the component whose place it can take comes before it."""

REPLICAS = "replicas"
"""What a fault targets that is about all of them."""

MACHINE = "machine"
"""What a fault targets that is about all that runs here: every path crosses it."""

SUBJECT = external.SUBJECT
"""Name of the judged service where it runs already."""


def standby_of(component: str) -> str:
    """Return the name of what can take the place of a component."""
    return f"{component}{STANDBY}"


def leads_into(client: str, server: str, target: str) -> bool:
    """Tell whether `target` names the path of a client to a server: by its own name, or as one of all clients'.

    A standby is no client of its primary's: what it copies is nobody's traffic, and its path has a name of its own.
    """
    return target == f"{client}.{server}" or (target == server and client != standby_of(server))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standby:
    """What can take the place of a component.

    Attributes:
        service: It follows the component, and has what that has.
        upstream: Where the fault proxy finds it.
        replication: How it is promoted.
    """

    service: Service
    upstream: Address
    replication: Replication


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A running system.

    Attributes:
        backend: `embedded` or `containers`.
        services: By name, in the order in which they were started; after a failover, a component's name is that of what
            took its place.
        edges: Every edge.
        proxy: The fault proxy that all edges run through.
        entry: Where clients of the system send their requests.
        startup: How long each part took.
        kinds: The kind of each component that was started for it, by name.
        standbys: What can take the place of a component, by the component's name.
        clocks: The clock of each replica that can be set off, by name; none where the service has no such clock.
        disks: The disk of each component that has one for itself, by the component's name.
        elsewhere: What runs elsewhere and can be hit by commands, by name; it is no service of the stack.
        mark: What the names of toxics begin with, where the fault proxy is used by others as well.
        configure: Writes the load balancer's configuration, without these replicas; it is read at its next reload.
    """

    backend: str
    services: dict[str, Service]
    edges: tuple[Edge, ...]
    proxy: ProxyServer
    entry: Address
    startup: tuple[Startup, ...]
    kinds: Mapping[str, str] = field(default_factory=dict)
    standbys: dict[str, Standby] = field(default_factory=dict)
    clocks: Mapping[str, ReplicaClock] = field(default_factory=dict)
    disks: dict[str, Disk] = field(default_factory=dict)
    elsewhere: Mapping[str, Elsewhere] = field(default_factory=dict)
    mark: str = ""
    configure: Callable[[Collection[str]], object] = lambda _: None

    @property
    def base_url(self) -> str:
        """Return the URL that load is sent to."""
        return self.entry.url

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
            if leads_into(edge.client, edge.server, target) or (target == REPLICAS and edge.server.startswith(REPLICA))
        )

    def has_failed_over(self, component: str) -> None:
        """Know what was the standby of a component by that component's name; what served before is known no more."""
        self.services[component] = self.services.pop(standby_of(component))
        del self.standbys[component]
        self.disks.pop(component, None)

    def hears(self, target: str) -> bool:
        """Tell whether what clients send to `target` is counted: not where it runs elsewhere, with no edge into it."""
        return target not in self.elsewhere or bool(self.edges_into(target))

    def sent_bytes(self, target: str) -> int:
        """Return how many bytes clients have sent so far on the edges into `target`, the harness's looks aside.

        No edge leads into what clients of the system ask, or into a worker: what passes there is what it sends itself.
        """
        edges = self.edges_into(target) or tuple(edge for edge in self.edges if edge.client == target)
        return sum(self.proxy.client_bytes(edge.name) for edge in edges)
