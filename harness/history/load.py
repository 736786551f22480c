"""What the load generator says of itself: a heartbeat a second, and a tally at the end that accounts for everything."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

OVERDUE_AFTER_S = 0.1
"""A request that is issued later than this after its moment was not offered when the schedule wanted it. Pauses of a
healthy generator are shorter (at most 47 ms at p99.9, measured 2026-11, 50 runs at 200/s on two cores)."""

CONTROL_WITHIN_S = 5.0
"""A request of the control that is not answered within this counts as having taken it."""

SHORTAGES = {
    "descriptors": (
        "it may open no more files and connections",
        "raise the limit of open files (`ulimit -Hn`, LimitNOFILE of a unit), or lower load.max_in_flight",
    ),
    "ports": (
        "no port is left from which to connect to the service",
        "let the service keep its connections, widen net.ipv4.ip_local_port_range, or press from more machines",
    ),
    "memory": ("the kernel has no memory left for connections", "lower load.max_in_flight, or free memory there"),
}
"""What a load generator's machine may be short of when it opens a connection: what that means, and how to mend it."""

_UNKNOWN = ("something was short that a connection needs", "see what the machine ran out of")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """One second of load, as its generator saw it: for people, and for the question whether the load was as planned.

    What a run of an older version did not say is None, and proves nothing.

    Attributes:
        at_s: Seconds since the origin.
        issued: Requests that were meant to start in the last second.
        ok: Answers of success in it.
        failed: Failures in it.
        in_flight: Requests under way.
        backlog: Requests whose time has come, but that no user is free for.
        p95_s: Latency from the intended start that 95 % of the second's answers stayed within; None without any.
        lag_max_s: Longest delay in it that was the generator's own: see `LoadTally.lag_p99_s`.
        cpu_ratio: Of one core that the generator used.
        planned: Requests that the schedule wanted to start in it.
        overdue: Of what was issued in it, how many later than `OVERDUE_AFTER_S` after their moment.
        latencies: The second's latencies as a `Histogram`, in its text form.
        controls_s: Latencies of the control's requests that ended in it: interleaved with the others, from the same
            generator, to a server that does nothing.
        computed: Of the control's requests that ended in it to a server that computes as long as the service does for
            a request: processor time asked for, and latency. None until that time is known.
        slow: Of each fault that holds slow connections beside the load: its id, how many are open, the bytes that
            passed on all of them in the last second, and how many the service ended in it. None without such a fault.
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
    planned: int | None = None
    overdue: int | None = None
    latencies: str = ""
    controls_s: tuple[float, ...] | None = None
    computed: tuple[tuple[float, float], ...] | None = None
    slow: tuple[tuple[str, int, int, int], ...] | None = None

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Heartbeat:
        """Return what was said as JSON, which knows no tuples."""
        controls_s, computed = said.get("controls_s"), said.get("computed")
        pairs = None if computed is None else tuple((asked_s, latency_s) for asked_s, latency_s in computed)
        told = {"controls_s": None if controls_s is None else tuple(controls_s), "computed": pairs}
        slow = said.get("slow")
        return cls(**{**said, **told, "slow": None if slow is None else tuple(tuple(each) for each in slow)})

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads; what was not measured is left out where older versions did not say it."""
        said = asdict(self)
        return {name: value for name, value in said.items() if value is not None or name not in ("computed", "slow")}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTally:
    """What became of every request: issued == ok + failed + unfinished + not_sent + cancelled + prevented.

    Attributes:
        planned: Requests in the schedule.
        issued: Requests whose time came.
        ok: Answered with success.
        failed: Answered otherwise, or broken off.
        unfinished: Still under way when the drain ended.
        not_sent: Never given to a user.
        lag_p99_s: The generator's own delay that 99 % of what was sent stayed within: from when a request could have
            started, which is when it was meant to and a seat was free, to when it did.
        cpu_ratio: Of one core that the generator used, over the whole run.
        wait_p99_s: Time for a free seat, because the service held all of them, that 99 % stayed within.
        overhead_p95_s: Latency that 95 % of requests to a server that does nothing stayed within, measured before the
            run: what the generator adds by itself.
        client_errors: Exceptions in the generator that were not the outcome of a request.
        client_error: The first of them.
        cancelled: Given up by its client, where a fault of the load has clients give up.
        prevented: Never sent, because the generator's own machine was short of something.
        short_of: What it was short of first: one of `SHORTAGES`; None where that is not known.
    """

    planned: int
    issued: int
    ok: int
    failed: int
    unfinished: int
    not_sent: int
    lag_p99_s: float
    cpu_ratio: float
    wait_p99_s: float | None = None
    overhead_p95_s: float | None = None
    client_errors: int | None = None
    client_error: str | None = None
    cancelled: int = 0
    prevented: int = 0
    short_of: str | None = None

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing was forgotten."""
        return self.issued == self.accounted

    @property
    def accounted(self) -> int:
        """Return how many requests it is known what became of."""
        return self.ok + self.failed + self.unfinished + self.not_sent + self.cancelled + self.prevented

    @property
    def shortage(self) -> str:
        """Say what the generator's machine prevented, why, and how to mend it; nothing, where it prevented nothing."""
        if not self.prevented:
            return ""
        why, fix = SHORTAGES.get(self.short_of or "", _UNKNOWN)
        return f"{self.prevented} requests were never sent: on the generator's machine {why}; {fix}"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data; what few loads have is left out, as Heartbeat does."""
        seldom = ("cancelled", "prevented", "short_of")
        return {name: value for name, value in asdict(self).items() if name not in seldom or value not in {None, 0}}
