"""What has gone through proxies since the program started; a count stands where it was made, and never goes back.

A connection counts for the addresses that its proxy had when it came, and a toxic for its name: neither a proxy that
moves or is deleted nor a toxic that is removed takes a count away (Toxiproxy 2.12 keeps its counts likewise).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harness.faultproxy.toxic import STREAMS

if TYPE_CHECKING:
    from harness.faultproxy.toxic import Toxic


@dataclass(frozen=True, slots=True)
class Road:
    """Where connections came in and went.

    Attributes:
        proxy: Its name.
        listener: The address that it listened on.
        upstream: Where it led, as written.
    """

    proxy: str
    listener: str
    upstream: str


@dataclass(frozen=True, slots=True)
class ToxicName:
    """What a toxic is known by."""

    proxy: str
    stream: str
    toxic: str
    kind: str


class Moving(Protocol):
    """What the tally needs of a connection that is open."""

    def moved_bytes(self, stream: str) -> tuple[int, int]:
        """Return how many bytes were received and sent in one direction so far."""


class Tally:
    """Counts of connections, bytes and hits."""

    def __init__(self) -> None:
        self._open: dict[Road, set[Moving]] = {}
        self._taken: Counter[Road] = Counter()
        # (received, sent) of connections that have ended, by road and direction.
        self._past_bytes: dict[tuple[Road, str], tuple[int, int]] = {}
        self._toxics: dict[ToxicName, set[Toxic]] = {}
        # (hits, connections) of toxics that are gone.
        self._past_hits: dict[ToxicName, tuple[int, int]] = {}

    @property
    def roads(self) -> list[Road]:
        """Return every road there was, in order of their names."""
        return sorted(self._open, key=lambda road: (road.proxy, road.listener, road.upstream))

    @property
    def toxics(self) -> list[ToxicName]:
        """Return every toxic there was, in order of their proxies' names, then of their creation."""
        return sorted(self._toxics, key=lambda name: name.proxy)

    def begin(self, road: Road) -> None:
        """Show a road from now on, though nothing has come along it yet."""
        self._open.setdefault(road, set())

    def take(self, road: Road) -> None:
        """Count a client that was taken in."""
        self._taken[road] += 1

    def opened(self, road: Road, connection: Moving) -> None:
        """Count what a connection moves from now on."""
        self._open[road].add(connection)

    def closed(self, road: Road, connection: Moving) -> None:
        """Keep what a connection has moved."""
        self._open[road].discard(connection)
        for stream in STREAMS:
            self._past_bytes[road, stream] = _sum(self.past_bytes(road, stream), connection.moved_bytes(stream))

    def taken(self, road: Road) -> int:
        """Return how many clients were taken in so far."""
        return self._taken[road]

    def has_ended(self, road: Road) -> bool:
        """Tell whether any connection has come and gone."""
        return (road, STREAMS[0]) in self._past_bytes

    def past_bytes(self, road: Road, stream: str) -> tuple[int, int]:
        """Return how many bytes were received and sent by connections that have ended."""
        return self._past_bytes.get((road, stream), (0, 0))

    def moved_bytes(self, road: Road, stream: str) -> tuple[int, int]:
        """Return how many bytes were received and sent so far, open connections included."""
        open_now = [connection.moved_bytes(stream) for connection in self._open[road]]
        return _sum(self.past_bytes(road, stream), *open_now)

    def admit(self, name: ToxicName, toxic: Toxic) -> None:
        """Count what a toxic does from now on."""
        self._toxics.setdefault(name, set()).add(toxic)

    def retire(self, name: ToxicName, toxic: Toxic) -> None:
        """Keep what a toxic has done."""
        self._toxics[name].discard(toxic)
        self._past_hits[name] = _sum(self._past_hits.get(name, (0, 0)), (toxic.hits, toxic.connections))

    def hits(self, name: ToxicName) -> tuple[int, int]:
        """Return how often a toxic has acted so far, and on how many connections."""
        live = [(toxic.hits, toxic.connections) for toxic in self._toxics[name]]
        return _sum(self._past_hits.get(name, (0, 0)), *live)


def _sum(*pairs: tuple[int, int]) -> tuple[int, int]:
    return sum(first for first, _ in pairs), sum(second for _, second in pairs)
