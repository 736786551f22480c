"""What every part of the program shares: how it was started, its log of events, and what it has counted."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.faultproxy.events import EventLog
from harness.faultproxy.tally import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Settings, the event log, and the counts.

    Attributes:
        seed: All dice are derived from it.
        dial_timeout_s: How long an upstream may take to accept, seconds. Toxiproxy has no such limit and stops
            accepting meanwhile.
        is_strict: Behave as the original also where we would rather not; docs/faultproxy.md lists where.
        events: What happened, for GET /events.
        tally: What went through, for GET /metrics.
    """

    seed: int = 0
    dial_timeout_s: float = 10.0
    is_strict: bool = False
    events: EventLog = field(default_factory=EventLog)
    tally: Tally = field(default_factory=Tally)
