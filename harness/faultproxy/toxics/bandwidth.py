"""`bandwidth`: so many bytes per second, on each connection for itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.faultproxy.toxics.delay_line import DelayLine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.faultproxy.toxics.stage import Stub

# Toxiproxy's KB has 1000 bytes, so a rate in KB/s is also bytes per millisecond (Toxiproxy 2.12, observed).
BYTES_PER_KB = 1000
# Larger pieces leave in slices of this long (Toxiproxy 2.12, observed).
SLICE_S = 0.1


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Let each piece take as long as its size costs; idle time earns no credit.

    Attributes:
        rate: KB/s of 1000 bytes. At 0 nothing moves, and everything held arrives intact once the toxic is removed.
    """

    rate: int = 0

    def problem(self) -> str | None:
        """Refuse what crashes the original."""
        return None if self.rate >= 0 else "rate must not be negative"

    def stage(self, stub: Stub) -> BandwidthStage:
        """Return the stage for one link."""
        return BandwidthStage(self, stub, Wire())

    def slices(self, data: bytes) -> Iterator[tuple[float, bytes]]:
        """Yield what to send and how long it takes, in seconds, one after the other."""
        if not self.rate:
            yield float("inf"), data
            return
        rate_bytes_per_s = self.rate * BYTES_PER_KB
        slice_bytes = int(rate_bytes_per_s * SLICE_S)
        for start in range(0, len(data), slice_bytes):
            piece = data[start : start + slice_bytes]
            yield len(piece) / rate_bytes_per_s, piece


class Wire:
    """What pieces are sent over, one after the other.

    Attributes:
        free_at_s: When the last piece will have left, in monotonic seconds.
    """

    def __init__(self) -> None:
        self.free_at_s = 0.0


class BandwidthStage:
    """Bandwidth on one link.

    Args:
        settings: The rate.
        stub: The link.
        wire: One of its own, or one it shares.
    """

    def __init__(self, settings: Bandwidth, stub: Stub, wire: Wire) -> None:
        self._settings = settings
        self._stub = stub
        self._line = DelayLine(stub)
        self._wire = wire

    @property
    def is_full(self) -> bool:
        """Tell whether something is being sent: the wire takes one piece at a time."""
        return self._line.is_full

    def receive(self, data: bytes) -> None:
        """Queue one piece on the wire."""
        self._stub.hit()
        self._wire.free_at_s = max(self._wire.free_at_s, self._stub.now())
        for lasts_s, piece in self._settings.slices(data):
            self._wire.free_at_s += lasts_s
            self._line.put(self._wire.free_at_s, piece)

    def end(self) -> None:
        """Follow behind what waits."""
        self._line.end()

    def retune(self, settings: Bandwidth) -> None:
        """Let go of what waits; later pieces move at the new rate."""
        self.release()
        self._settings = settings

    def release(self) -> None:
        """Hand on what waits."""
        self._line.release()
        self._wire.free_at_s = 0.0
