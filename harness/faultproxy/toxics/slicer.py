"""`slicer`: data arrives in small pieces, as from a peer that writes byte by byte."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.faultproxy.toxics.duration import microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator
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
    delay: int = microseconds()

    def problem(self) -> str | None:
        """Refuse what crashes the original or duplicates bytes in it."""
        if self.average_size <= 0:
            return "average_size must be at least 1"
        if not 0 <= self.size_variation <= self.average_size:
            return "size_variation must be from 0 to average_size"
        return None

    def stage(self, stub: Stub) -> SlicerStage:
        """Return the stage for one link."""
        return SlicerStage(self, stub)

    def cuts(self, size_bytes: int, dice: Random) -> Iterator[int]:
        """Yield the sizes of the pieces, in order; they add up to `size_bytes`."""
        uncut = [size_bytes]
        while uncut:
            size = uncut.pop()
            # A single byte cannot be cut, whatever the average.
            if size <= max(1, self.average_size + self.size_variation):
                yield size
            else:
                first = self._middle(size, dice)
                uncut += [size - first, first]

    def _middle(self, size: int, dice: Random) -> int:
        shift = dice.randrange(-self.size_variation, self.size_variation) if self.size_variation else 0
        # Both halves keep at least one byte, so that cutting always comes to an end.
        return min(max(size // 2 + shift, 1), size - 1)


class SlicerStage:
    """A slicer on one link; it cuts one piece at a time, since a thousand pieces weigh far more than their bytes."""

    def __init__(self, settings: Slicer, stub: Stub) -> None:
        self._settings = settings
        self._stub = stub
        self._uncut: deque[bytes] = deque()
        self._cut_bytes = 0  # of the first
        self._sizes: Iterator[int] = iter(())
        self._is_ending = False
        self._free_at_s = 0.0

    @property
    def is_full(self) -> bool:
        """Tell whether data still waits to be cut."""
        return bool(self._uncut)

    def receive(self, data: bytes) -> None:
        """Queue for the knife."""
        self._stub.hit()
        self._uncut.append(data)
        if len(self._uncut) == 1:
            self._start_cutting()

    def end(self) -> None:
        """Follow behind the last piece and its pause."""
        self._is_ending = True
        if not self._uncut:
            self._pause()

    def retune(self, settings: Slicer) -> None:
        """Let go of what waits; later data is cut anew."""
        self.release()
        self._settings = settings

    def release(self) -> None:
        """Hand on what waits, uncut."""
        self._stub.disarm()
        while self._uncut:
            self._stub.send(self._uncut.popleft()[self._cut_bytes :])
            self._cut_bytes = 0
        if self._is_ending:
            self._end_now()

    def _start_cutting(self) -> None:
        self._sizes = self._settings.cuts(len(self._uncut[0]), self._stub.dice)
        self._free_at_s = max(self._free_at_s, self._stub.now())
        self._pause()

    def _pause(self) -> None:
        # One piece per turn of the loop, because the loop joins the writes of one turn into one segment.
        self._stub.arm(self._free_at_s - self._stub.now(), self._go_on)

    def _go_on(self) -> None:
        if self._free_at_s > self._stub.now():
            self._pause()
        elif self._uncut:
            self._send_piece()
        elif self._is_ending:
            self._end_now()

    def _send_piece(self) -> None:
        start = self._cut_bytes
        self._cut_bytes += next(self._sizes)
        self._free_at_s += max(0, self._settings.delay) / 1_000_000
        self._stub.send(self._uncut[0][start : self._cut_bytes])
        if self._cut_bytes < len(self._uncut[0]):
            self._pause()
        else:
            self._finish_cutting()

    def _finish_cutting(self) -> None:
        self._cut_bytes = 0
        self._uncut.popleft()
        if self._uncut:
            self._start_cutting()
        elif self._is_ending:
            self._pause()

    def _end_now(self) -> None:
        self._is_ending = False
        self._stub.end()
