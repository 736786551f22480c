"""One socket of a connection: the source of one link and the sink of the other."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Protocol, cast

from harness.faultproxy.counting import is_counted_by_kernel, read_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

# Closing with linger on and a linger time of 0 s sends RST instead of FIN (socket(7)).
LINGER_RESET = struct.pack("ii", 1, 0)
# As Go does by default, so that a vanished peer is noticed.
KEEPALIVE_S = 15


class Direction(Protocol):
    """What an endpoint needs of a link that begins or ends at it; here, so that this file imports neither user."""

    is_finished: bool
    is_reset: bool

    def source_ended(self, *, is_reset: bool) -> None:
        """Send the end of the stream after the bytes."""

    def abandon(self) -> None:
        """Drop what is held and what may still come."""

    def balance(self) -> None:
        """Stop or go on reading from the source, as the sink and the stages can take more."""


class EndpointListener(Protocol):
    """What an endpoint tells of its end."""

    def endpoint_ended(self, endpoint: Endpoint) -> None:
        """Take note that the peer has sent FIN."""

    def endpoint_lost(self, endpoint: Endpoint) -> None:
        """Take note that the socket is gone."""


class Endpoint(asyncio.BaseProtocol):
    """Hand what the socket receives to the peer's `write` when there are no toxics: then nothing in Python runs for it.

    Args:
        listener: Told when this side ends or is lost.

    Attributes:
        outgoing: The link this is the source of.
        incoming: The link this is the sink of.
        data_received: Takes the bytes that arrive.
        is_congested: The socket takes no more for now.
        is_ended: The peer has sent FIN.
        is_lost: The socket is gone.
        is_broken: It went with an error: the peer has reset.
    """

    __slots__ = (
        "_early",
        "_listener",
        "_received_bytes",
        "data_received",
        "incoming",
        "is_broken",
        "is_congested",
        "is_ended",
        "is_lost",
        "outgoing",
        "transport",
    )

    outgoing: Direction
    incoming: Direction
    transport: asyncio.Transport
    data_received: Callable[[bytes], None]

    def __init__(self, listener: EndpointListener) -> None:
        self._listener = listener
        # A server may greet before its client is adopted, and uvloop cannot be told to wait in `connection_made`.
        self._early: list[bytes] = []
        self.data_received = self._early.append
        # Counted here as bytes pass, or by the kernel until the socket is lost.
        self._received_bytes = 0
        self.is_congested = self.is_ended = self.is_lost = self.is_broken = False

    @property
    def received_bytes(self) -> int:
        """Return how many bytes arrived so far."""
        if self.is_lost or not is_counted_by_kernel():
            return self._received_bytes
        peer = self.transport.get_extra_info("socket")
        return read_bytes(peer, is_ended=self.is_ended, is_broken=self.is_broken)

    @property
    def is_readable(self) -> bool:
        """Tell whether anything can still arrive."""
        return not (self.is_ended or self.is_lost or self.transport.is_closing())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the way out."""
        self.transport = cast("asyncio.Transport", transport)
        _keep_alive(self.transport.get_extra_info("socket"))

    def deliver_early(self) -> None:
        """Deliver what came before both sides were there."""
        for data in self._early:
            self.data_received(data)
        self._early.clear()

    def deliver_to(self, take: Callable[[bytes], None]) -> None:
        """Hand what arrives to `take` from now on."""
        self.data_received = take if is_counted_by_kernel() else self._counting(take)
        if not self.is_lost:
            # uvloop looks the method up here, once, and then calls it without a detour.
            self.transport.set_protocol(self)

    def _counting(self, take: Callable[[bytes], None]) -> Callable[[bytes], None]:
        def count(data: bytes) -> None:
            self._received_bytes += len(data)
            take(data)

        return count

    def eof_received(self) -> bool:
        """Send the end on, and stay open: the other direction may have more to say."""
        self.is_ended = True
        self._listener.endpoint_ended(self)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the connection; an error means the peer has reset."""
        self.is_broken = exc is not None
        self._received_bytes = self.received_bytes
        self.is_lost = True
        self._listener.endpoint_lost(self)

    def pause_writing(self) -> None:
        """Let the source of what we write wait."""
        self.is_congested = True
        self._balance()

    def resume_writing(self) -> None:
        """Let it go on."""
        self.is_congested = False
        self._balance()

    def _balance(self) -> None:
        self.incoming.balance()
        # The source of a link may be answered by a toxic of that link.
        self.outgoing.balance()

    def set_reading(self, is_wanted: bool) -> None:  # noqa: FBT001  # the name says what true means
        """Start or stop reading."""
        if is_wanted:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def end_writing(self) -> None:
        """Send FIN after what is buffered, and go on reading."""
        if not (self.is_lost or self.transport.is_closing()):
            self.transport.write_eof()

    def close(self) -> None:
        """Close after what is buffered has left."""
        self.transport.close()

    def cut(self) -> None:
        """Close now: FIN, or RST where the kernel holds unread bytes."""
        self.transport.abort()

    def reset(self) -> None:
        """Close now with RST."""
        if not self.is_lost:
            self.make_its_end_a_reset()
            self.transport.abort()

    def make_its_end_a_reset(self) -> None:
        """Let the kernel send RST instead of FIN whenever the socket is closed."""
        end_with_reset(self.transport.get_extra_info("socket"))


def end_with_reset(peer: socket.socket) -> None:
    """Let the kernel send RST instead of FIN when a socket is closed."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)


def _keep_alive(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):  # not on macOS
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_S)
