"""What happened to proxies, toxics and connections: the proof that a fault really struck."""

from __future__ import annotations

import time
from collections import deque
from datetime import UTC, datetime

# Enough for minutes of a busy test, and under two megabytes; older events make room for newer ones.
CAPACITY = 4096


class EventLog:
    """The latest events, numbered from 1 so that a reader can ask for what is new and see what it missed."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._events: deque[tuple[int, float, float, str, dict[str, object]]] = deque(maxlen=capacity)
        self._count = 0

    def note(self, kind: str, **facts: object) -> None:
        """Add an event."""
        self._count += 1
        self._events.append((self._count, time.monotonic(), time.time(), kind, facts))

    def since(self, after: int) -> dict[str, object]:
        """Return the events numbered above `after`, and how many of those were forgotten already.

        Their `monotonic_s` is CLOCK_MONOTONIC, the same for all processes of a host.
        """
        shown = [_shown(*event) for event in self._events if event[0] > after]
        return {"events": shown, "last": self._count, "forgotten": max(0, self._count - after) - len(shown)}


def _shown(number: int, monotonic_s: float, wall_s: float, kind: str, facts: dict[str, object]) -> dict[str, object]:
    stamp = datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="microseconds")
    return {"id": number, "time": stamp, "monotonic_s": monotonic_s, "kind": kind, **facts}
