"""`latency`: every piece arrives later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harness.faultproxy.toxics.delay_line import DelayLine
from harness.faultproxy.toxics.duration import milliseconds

if TYPE_CHECKING:
    from random import Random

    from harness.faultproxy.toxics.stage import Stub

# A connection holds at most this much, hence moves at most this much per latency. Toxiproxy holds 1024 reads, up to
# 32 MiB; here ten thousand connections must fit into one machine.
CAPACITY_BYTES = 3 * 2**20
# Toxiproxy 2.12 panics from here on (observed).
JITTER_END_MS = 2**62


@dataclass(frozen=True, slots=True)
class Latency:
    """Hold each piece back, counted from its own arrival: pieces that arrive together leave together.

    Nothing is reordered, so a slow piece delays its followers. An end of stream without data is not delayed.

    Attributes:
        latency: Milliseconds.
        jitter: Milliseconds; each delay is shifted by a whole number drawn evenly from [-jitter, jitter - 1]
            (Toxiproxy 2.12, observed).
    """

    latency: int = milliseconds()
    jitter: int = milliseconds()

    def problem(self) -> str | None:
        """Refuse what cannot be drawn; a negative latency is no delay, as in the original."""
        return None if 0 <= self.jitter < JITTER_END_MS else "jitter must not be negative, nor 2**62 or more"

    def stage(self, stub: Stub) -> LatencyStage:
        """Return the stage for one link."""
        return LatencyStage(self, stub)

    def delay_s(self, dice: Random) -> float:
        """Draw the delay of one piece, in seconds."""
        shift_ms = dice.randrange(-self.jitter, self.jitter) if self.jitter else 0
        return max(0, self.latency + shift_ms) / 1000


class Delays(Protocol):
    """Settings that draw delays."""

    def delay_s(self, dice: Random) -> float:
        """Draw the delay of one piece, in seconds."""


class LatencyStage:
    """Latency on one link."""

    def __init__(self, settings: Delays, stub: Stub) -> None:
        self._settings = settings
        self._stub = stub
        self._line = DelayLine(stub, CAPACITY_BYTES)

    @property
    def is_full(self) -> bool:
        """Tell whether a whole latency's worth is under way."""
        return self._line.is_full

    def receive(self, data: bytes) -> None:
        """Start the delay of one piece."""
        self._stub.hit()
        self._line.put(self._stub.now() + self._settings.delay_s(self._stub.dice), data)

    def end(self) -> None:
        """Follow behind what waits."""
        self._line.end()

    def retune(self, settings: Delays) -> None:
        """Let go of what waits; later pieces get the new delay."""
        self._line.release()
        self._settings = settings

    def release(self) -> None:
        """Hand on what waits."""
        self._line.release()
