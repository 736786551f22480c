"""Bytes that wait for their moment, first in, first out; shared by every toxic that delays."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.faultproxy.toxics.stage import Stub

# What a waiting piece costs beyond its bytes (tuple, float, bytes header), so that many tiny pieces stay bounded too.
PIECE_OVERHEAD_BYTES = 160


class DelayLine:
    """Hand each piece on when it is due, never before the piece ahead of it, and each in a write of its own.

    Args:
        stub: The way out and the timer.
        capacity_bytes: Holding more than this makes the source wait; 0 lets only one piece in at a time.
    """

    def __init__(self, stub: Stub, capacity_bytes: int = 0) -> None:
        self._stub = stub
        self._capacity_bytes = capacity_bytes
        self._held_bytes = 0
        # (due, in monotonic seconds; the bytes, or None for the end of the stream)
        self._waiting: deque[tuple[float, bytes | None]] = deque()

    @property
    def is_full(self) -> bool:
        """Tell whether the source should wait."""
        return self._held_bytes > self._capacity_bytes

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing waits."""
        return not self._waiting

    def put(self, due_s: float, data: bytes | None) -> None:
        """Let `data` wait until `due_s`; `None` stands for the end of the stream, and infinity for never."""
        self._waiting.append((due_s, data))
        self._held_bytes += _cost_bytes(data)
        if len(self._waiting) == 1:
            self._arm()

    def end(self) -> None:
        """Let the end of the stream wait behind the last piece, or pass at once if there is none."""
        if self._waiting:
            self.put(self._waiting[-1][0], None)
        else:
            self._stub.end()

    def release(self) -> None:
        """Hand everything on now, in order."""
        self._stub.disarm()
        while self._waiting:
            self._hand_on()

    def _arm(self) -> None:
        due_s = self._waiting[0][0]
        if due_s != float("inf"):
            # One piece per turn of the loop, because the loop joins the writes of one turn into one segment.
            self._stub.arm(due_s - self._stub.now(), self._hand_on_if_due)

    def _hand_on_if_due(self) -> None:
        if self._waiting[0][0] <= self._stub.now():
            self._hand_on()
        if self._waiting:
            self._arm()

    def _hand_on(self) -> None:
        _, data = self._waiting.popleft()
        self._held_bytes -= _cost_bytes(data)
        if data is None:
            self._stub.end()
        else:
            self._stub.send(data)


def _cost_bytes(data: bytes | None) -> int:
    return PIECE_OVERHEAD_BYTES + len(data or b"")
