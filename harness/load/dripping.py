"""How many bytes a client on a bad line lets pass, and what is seen of many such clients in a second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.spec.quantity import count_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.history.load import Heartbeat
    from harness.spec.faults import SlowReaders
    from harness.spec.faults.traffic import TrafficWindow

TICK_S = 0.5
"""How often a client lets bytes pass: two hundred of them cost the generator some two per cent of a core."""

HELD_RATIO = 0.95
"""Of the connections that are to be there, those that are, on average over the window: one that the service ends is
opened anew a tick later."""

RATE_MIN_RATIO = 0.5
RATE_MAX_RATIO = 1.1
"""Of the rate, what is seen on each connection: an answer takes its time to come, and a tick may be late."""


class Pace:
    """What one connection lets pass."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._rest_bytes = 0.0

    def due_bytes(self, elapsed_s: float) -> int:
        """Return how many bytes may pass after this time; part of a byte is kept for the next.

        What was waited for beyond a tick is not made up for: a line that was still for long is no faster afterwards.
        """
        self._rest_bytes += self._per_s * min(elapsed_s, TICK_S)
        whole = int(self._rest_bytes)
        self._rest_bytes -= whole
        return whole


@dataclass(slots=True)
class Drips:
    """What became of the connections of one fault since this was last told.

    Attributes:
        held: How many are open.
        passed_bytes: What passed on all of them.
        ended: How many the service has ended, not let in, or not answered in time.
    """

    held: int = 0
    passed_bytes: int = 0
    ended: int = 0

    def tell(self) -> tuple[int, int, int]:
        """Return held, passed bytes and ended; the last two begin anew."""
        said = self.held, self.passed_bytes, self.ended
        self.passed_bytes = self.ended = 0
        return said


def drips_seen(fault: SlowReaders, window: TrafficWindow, beats: Sequence[Heartbeat]) -> tuple[bool, str]:
    """Tell whether the connections of a fault were there, each at its rate, and say it.

    Args:
        fault: How many, and how slow.
        window: When; its first second goes to opening them.
        beats: What the generator said of each second.
    """
    during = [beat for beat in beats if window.starts_s + 2 <= beat.at_s <= window.ends_s]
    told = [said[1:] for beat in during for said in beat.slow or () if said[0] == window.id]
    if not told or len(told) < len(during):
        return False, "how many connections were held is not known"
    held, passed_bytes, ended = (sum(column) for column in zip(*told, strict=True))
    each_s = passed_bytes / held if held else 0.0
    said = f"{count_text(round(held / len(told)))} of {count_text(fault.connections)} connections held, with"
    said += f" {round(each_s, 1):g}B/s on each; {count_text(ended)} ended or left unanswered"
    is_held = held >= HELD_RATIO * fault.connections * len(told)
    return is_held and RATE_MIN_RATIO * fault.rate <= each_s <= RATE_MAX_RATIO * fault.rate, said


def own_share(count: int, share: tuple[int, int]) -> int:
    """Return how many of so many connections are one generator's, by its index among so many generators."""
    index, of = share
    return len(range(index, count, of))
