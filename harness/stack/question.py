"""One question over one new connection: the plainest way to see what a path does to a conversation."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.stack.service import Address

ANSWER_WITHIN_S = 5.0


def seconds_to_answer(address: Address, question: bytes, within_s: float = ANSWER_WITHIN_S) -> float:
    """Return the seconds from sending `question` to the first byte of its answer; connecting is not counted.

    Raises:
        OSError: If the connection is refused or ends without an answer; TimeoutError if there is none in time.
    """
    with socket.create_connection((address.host, address.port), timeout=within_s) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began_s = time.perf_counter()
        connection.sendall(question)
        if not connection.recv(1):
            raise ConnectionError(f"{address} closed the connection without an answer")
        return time.perf_counter() - began_s
