"""What the load generator says of itself: a heartbeat a second, and a tally at the end that accounts for everything."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """One second of load, as its generator saw it; for people, no verdict rests on it.

    Attributes:
        at_s: Seconds since the origin.
        issued: Requests that were meant to start in the last second.
        ok: Answers of success in it.
        failed: Failures in it.
        in_flight: Requests under way.
        backlog: Requests whose time has come, but that no user is free for.
        p95_s: Latency from the intended start that 95 % of the second's answers stayed within; None without any.
        lag_max_s: Longest delay between an intended and an actual start in it.
        cpu_ratio: Of one core that the generator used.
    """

    at_s: float
    issued: int
    ok: int
    failed: int
    in_flight: int
    backlog: int
    p95_s: float | None
    lag_max_s: float
    cpu_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTally:
    """What became of every request: issued == ok + failed + unfinished + not_sent.

    Attributes:
        planned: Requests in the schedule.
        issued: Requests whose time came.
        ok: Answered with success.
        failed: Answered otherwise, or broken off.
        unfinished: Still under way when the drain ended.
        not_sent: Never given to a user.
        lag_p99_s: Delay between intended and actual start that 99 % of what was sent stayed within.
        cpu_ratio: Of one core that the generator used, over the whole run.
    """

    planned: int
    issued: int
    ok: int
    failed: int
    unfinished: int
    not_sent: int
    lag_p99_s: float
    cpu_ratio: float

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing was forgotten."""
        return self.issued == self.ok + self.failed + self.unfinished + self.not_sent
