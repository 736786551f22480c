"""One client and its server: two endpoints, two links, and how the whole ends.

An end in order is passed on as an end of that direction only, a reset as a reset; the original turns the first into a
close of both directions and the second into an end in order (Toxiproxy 2.12, observed).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from harness.faultproxy.dice import dice_for
from harness.faultproxy.endpoint import Endpoint
from harness.faultproxy.link import Link
from harness.faultproxy.toxics import LINGERING

if TYPE_CHECKING:
    from random import Random

    from harness.faultproxy.program import Program
    from harness.faultproxy.tally import Road
    from harness.faultproxy.toxic import Toxic


class ConnectionHost(Protocol):
    """What a connection needs of the proxy that it came through."""

    name: str
    program: Program
    toxics: list[Toxic]

    def toxics_of(self, stream: str) -> list[Toxic]:
        """Return the toxics of one direction, in order."""

    def note(self, kind: str, **facts: object) -> None:
        """Add to the event log."""

    def forget(self, connection: Connection) -> None:
        """Let go of a connection whose sockets are gone."""


class Connection:
    """A client, its server, and both directions between them.

    Args:
        proxy: Where the client connected.
        number: Counts the proxy's connections from 1; the dice depend on it.
        road: What it is counted for.

    Attributes:
        opened_at_s: When its client was taken in, in monotonic seconds.
        ending: How it ended: `closed`, `cut`, `reset`, or `lost` when both sides went by themselves.
    """

    __slots__ = (
        "_is_started",
        "_links",
        "_proxy",
        "_struck_by",
        "client",
        "ending",
        "is_closing",
        "number",
        "opened_at_s",
        "road",
        "server",
    )

    def __init__(self, proxy: ConnectionHost, number: int, road: Road) -> None:
        self._proxy = proxy
        self.number = number
        self.road = road
        self.opened_at_s = time.monotonic()
        self._is_started = self.is_closing = False
        self.ending = "lost"
        # A toxic that comes and goes by its schedule strikes one connection many times.
        self._struck_by: set[Toxic] = set()
        self.client, self.server = Endpoint(self), Endpoint(self)
        self._links = {
            "upstream": Link(self, "upstream", self.client, self.server),
            "downstream": Link(self, "downstream", self.server, self.client),
        }
        self.client.outgoing = self.server.incoming = self._links["upstream"]
        self.server.outgoing = self.client.incoming = self._links["downstream"]

    def link(self, stream: str) -> Link:
        """Return one direction."""
        return self._links[stream]

    def moved_bytes(self, stream: str) -> tuple[int, int]:
        """Return how many bytes were received and sent in one direction so far."""
        return self._links[stream].moved_bytes

    def toxics(self, stream: str) -> list[Toxic]:
        """Return the proxy's toxics of one direction, in order."""
        return self._proxy.toxics_of(stream)

    def dice(self, toxic: Toxic, purpose: str) -> Random:
        """Return the dice of `toxic` on this connection."""
        return dice_for(self._proxy.program.seed, self._proxy.name, toxic.name, self.number, purpose)

    def was_open_before(self, toxic: Toxic) -> bool:
        """Tell whether the toxic came later; in strict mode that never makes a difference."""
        return self.number <= toxic.connections_before and not self._proxy.program.is_strict

    def suffers(self, toxic: Toxic) -> bool:
        """Tell whether `toxic` applies here, by its schedule and its toxicity.

        The dice are thrown once per connection and toxic, so raising a toxicity only ever adds connections. The
        original throws again on every change of the toxic or of its neighbours, and so does strict mode.
        """
        if not toxic.applies_to(self.number):
            return False
        return toxic.toxicity >= 1 or self.dice(toxic, f"toxicity {toxic.throws}").random() < toxic.toxicity

    def first_hit(self, toxic: Toxic) -> None:
        """Note that `toxic` has acted here for the first time."""
        if toxic in self._struck_by:
            return
        self._struck_by.add(toxic)
        toxic.connections += 1
        self._proxy.note("toxic_hit", toxic=toxic.name, stream=toxic.direction, connection=self.number)

    def start(self) -> None:
        """Let bytes flow: both sockets are there. Then catch up with what has happened to them meanwhile."""
        self._is_started = True
        for link in self._links.values():
            link.start()
        for endpoint in (self.client, self.server):
            if self._lingers() and not endpoint.is_lost:
                endpoint.make_its_end_a_reset()
            endpoint.deliver_early()
            if endpoint.is_ended:
                self.endpoint_ended(endpoint)
            if endpoint.is_lost:
                self.endpoint_lost(endpoint)

    def endpoint_ended(self, endpoint: Endpoint) -> None:
        """Pass an end in order on, behind the bytes that came before it."""
        if self._is_started:
            endpoint.outgoing.source_ended(is_reset=False)

    def link_finished(self, link: Link) -> None:
        """Pass an end on that has reached its sink."""
        if link.is_reset:
            self._pass_reset()
        elif self._proxy.program.is_strict or all(direction.is_finished for direction in self._links.values()):
            self.close()
        else:
            link.sink.end_writing()

    def endpoint_lost(self, endpoint: Endpoint) -> None:
        """Clean up after a socket, and pass a reset on behind the bytes that came before it."""
        if not self._is_started:
            return
        endpoint.incoming.abandon()
        if endpoint.is_broken and not self.is_closing:
            self._pass_reset_on(endpoint)
        if self.client.is_lost and self.server.is_lost:
            self._proxy.forget(self)

    def close(self) -> None:
        """End both sides, after what was already written."""
        self._give_up("closed")
        self.client.close()
        self.server.close()

    def cut(self) -> None:
        """End both sides now."""
        self._give_up("cut")
        self.client.cut()
        self.server.cut()

    def reset(self) -> None:
        """Reset both sides now; in strict mode only if the connection began under a toxic that resets."""
        self._give_up("reset")
        for endpoint in (self.client, self.server):
            (endpoint.cut if self._proxy.program.is_strict else endpoint.reset)()

    def _lingers(self) -> bool:
        return self._proxy.program.is_strict and any(toxic.kind in LINGERING for toxic in self._proxy.toxics)

    def _pass_reset_on(self, endpoint: Endpoint) -> None:
        if endpoint.outgoing.is_finished:
            self._pass_reset()
        elif not endpoint.is_ended:
            endpoint.outgoing.source_ended(is_reset=True)
        else:
            endpoint.outgoing.is_reset = True

    def _pass_reset(self) -> None:
        if self._proxy.program.is_strict:
            self.close()
        else:
            self.reset()

    def _give_up(self, ending: str) -> None:
        self.is_closing = True
        self.ending = ending
        for link in self._links.values():
            link.abandon()
