"""One conversation over one new connection, to its end: what was heard, when, and how it ended.

The plainest way to see what a path does to what is sent on it. A fault that lets nothing pass, little, or only slowly
is told from the others by this.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.stack.service import SERVICE_ANSWERS_WITHIN_S

if TYPE_CHECKING:
    from harness.stack.service import Address

_READ_BYTES = 1 << 16

Ending = Literal["closed", "reset", "silent", "enough"]
"""How it ended: by the other side, by RST, by our patience, or because enough had been heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What was heard.

    Attributes:
        pieces: What came, in the order in which it did: seconds since the question was sent, and bytes.
        ended: How it ended.
        took_s: From the question until its end, seconds; connecting is not counted.
    """

    pieces: tuple[tuple[float, int], ...]
    ended: Ending
    took_s: float

    @property
    def length_bytes(self) -> int:
        """Return how much was heard."""
        return sum(length_bytes for _, length_bytes in self.pieces)


def converse(
    address: Address, question: bytes, *, within_s: float = SERVICE_ANSWERS_WITHIN_S, most_pieces: int | None = None
) -> Heard:
    """Send `question` and listen until the other side ends it.

    Args:
        address: Where to connect.
        question: What is sent, at once.
        within_s: How long is listened, whatever comes.
        most_pieces: After so many pieces enough was heard; None to listen to the end.

    Raises:
        OSError: If the connection is not accepted, or lost before all was sent.
    """
    pieces = list[tuple[float, int]]()
    with socket.create_connection((address.host, address.port), timeout=within_s) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began_s = time.perf_counter()
        connection.sendall(question)
        ended: Ending | None = None
        while ended is None:
            ended = _listen(connection, pieces, began_s, within_s)
            if ended is None and len(pieces) == most_pieces:
                ended = "enough"
        return Heard(pieces=tuple(pieces), ended=ended, took_s=time.perf_counter() - began_s)


def _listen(
    connection: socket.socket, pieces: list[tuple[float, int]], began_s: float, within_s: float
) -> Ending | None:
    """Take one more piece; return how it ended, if it did."""
    left_s = began_s + within_s - time.perf_counter()
    if left_s <= 0:
        return "silent"
    connection.settimeout(left_s)
    try:
        length_bytes = len(connection.recv(_READ_BYTES))
    except TimeoutError:
        return "silent"
    except ConnectionError:
        return "reset"
    if not length_bytes:
        return "closed"
    pieces.append((time.perf_counter() - began_s, length_bytes))
    return None
