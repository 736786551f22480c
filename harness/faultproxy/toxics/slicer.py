"""`slicer`: data arrives in small pieces, as from a peer that writes byte by byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.faultproxy.toxics.delay_line import DelayLine
from harness.faultproxy.toxics.latency import MAX_MS

if TYPE_CHECKING:
    from random import Random

    from harness.faultproxy.toxics.stage import Stub


@dataclass(frozen=True, slots=True)
class Slicer:
    """Cut each piece in halves until they are small enough, and pause after every one.

    Attributes:
        average_size: Bytes; required, because 0 never ends (the original dies of it).
        size_variation: Bytes by which a cut may be off the middle, and a piece above the average.
        delay: MICROseconds after each piece, the last one included (Toxiproxy 2.12, observed).
    """

    average_size: int = 0
    size_variation: int = 0
    delay: int = 0

    def problem(self) -> str | None:
        """Refuse what crashes the original or duplicates bytes in it."""
        if self.average_size <= 0:
            return "average_size must be at least 1"
        if not 0 <= self.size_variation <= self.average_size:
            return "size_variation must be from 0 to average_size"
        return None if self.delay <= MAX_MS * 1000 else f"delay must be at most {MAX_MS * 1000} microseconds"

    def stage(self, stub: Stub) -> SlicerStage:
        """Return the stage for one link."""
        return SlicerStage(self, stub)

    def cuts(self, size_bytes: int, dice: Random) -> list[int]:
        """Return the sizes of the pieces, in order; they add up to `size_bytes`."""
        pieces, uncut = [], [size_bytes]
        while uncut:
            size = uncut.pop()
            # A single byte cannot be cut, whatever the average.
            if size <= max(1, self.average_size + self.size_variation):
                pieces.append(size)
            else:
                first = self._middle(size, dice)
                uncut += [size - first, first]
        return pieces

    def _middle(self, size: int, dice: Random) -> int:
        shift = dice.randrange(-self.size_variation, self.size_variation) if self.size_variation else 0
        # Both halves keep at least one byte, so that cutting always comes to an end.
        return min(max(size // 2 + shift, 1), size - 1)


class SlicerStage:
    """A slicer on one link."""

    def __init__(self, settings: Slicer, stub: Stub) -> None:
        self._settings = settings
        self._stub = stub
        self._line = DelayLine(stub)
        self._free_at_s = 0.0

    @property
    def is_full(self) -> bool:
        """Tell whether pieces are still waiting."""
        return self._line.is_full

    def receive(self, data: bytes) -> None:
        """Cut, and queue the pieces."""
        self._stub.hit()
        self._free_at_s = max(self._free_at_s, self._stub.now())
        start = 0
        for size in self._settings.cuts(len(data), self._stub.dice):
            self._line.put(self._free_at_s, data[start : start + size])
            self._free_at_s += max(0, self._settings.delay) / 1_000_000
            start += size

    def end(self) -> None:
        """Follow behind what waits."""
        self._line.end()

    def retune(self, settings: Slicer) -> None:
        """Let go of what waits; later data is cut anew."""
        self.release()
        self._settings = settings

    def release(self) -> None:
        """Hand on what waits."""
        self._line.release()
        self._free_at_s = 0.0
