"""What a generator that was lost leaves: what it told, and every request that is not accounted for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import LoadError
from harness.history.load import Heartbeat, LoadTally
from harness.history.samples import NAMELESS, RECORD, SampleOutcome, Samples, no_samples
from harness.load.arrivals import together
from harness.load.engine import LoadResult
from harness.load.merging import merged_samples
from harness.load.recording import read_raw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harness.load.arrivals import ArrivalSchedule
    from harness.load.engine import LoadRun
    from harness.load.plan import Assignment, LoadPlan
    from harness.spec.load import Load


def expected_of(plan: LoadPlan, assignments: Sequence[Assignment], *, until_s: float) -> ArrivalSchedule:
    """Lay out what was to be sent before a moment, seconds since the origin."""
    return together([assignment.arrivals(plan).ending(until_s) for assignment in assignments])


def loss_of(run: LoadRun, expected: ArrivalSchedule, *, until_s: float) -> tuple[LoadResult, NDArray[np.float64]]:
    """Account for a generator that was lost.

    Args:
        run: What it was.
        expected: What it was to send.
        until_s: When others take over, seconds since the origin.

    Returns:
        Its account, and the moments of the requests not accounted for: they are unfinished.
    """
    try:
        # One that only fell silent may have gone on for a while; what it sent from there on is the others' to send.
        told = read_raw(run.folder).between(-math.inf, until_s)
    except LoadError:
        told = no_samples()
    is_lost = ~np.isin(expected.intended_s, told.records["intended_s"])
    lost = _unfinished(expected, is_lost, until_s, run.plan.load)
    samples = merged_samples([told, lost])
    counted = {outcome: int(samples.has_outcome(outcome).sum()) for outcome in SampleOutcome}
    tally = LoadTally(
        planned=len(expected),
        issued=len(samples),
        ok=counted[SampleOutcome.OK],
        failed=counted[SampleOutcome.FAILED],
        unfinished=counted[SampleOutcome.UNFINISHED],
        not_sent=counted[SampleOutcome.NOT_SENT],
        lag_p99_s=0.0,  # it never said; the seconds that it missed are marked, and speak for themselves
        cpu_ratio=0.0,
        overhead_p95_s=run.overhead_p95_s,
        client_errors=0,
        cancelled=counted[SampleOutcome.CANCELLED],
        prevented=counted[SampleOutcome.PREVENTED],
    )
    return LoadResult(samples, tally), expected.intended_s[is_lost]


def silent_beats(
    last_s: float, until_s: float, expected_s: NDArray[np.float64], lost_s: NDArray[np.float64]
) -> list[Heartbeat]:
    """Return a heartbeat for each second of which a lost generator said nothing: all that it was to send is overdue."""
    seconds = range(math.floor(last_s + 0.5) + 1, math.ceil(until_s) + 1)
    return [_silent_beat(second, expected_s, lost_s) for second in seconds]


def _silent_beat(second: int, expected_s: NDArray[np.float64], lost_s: NDArray[np.float64]) -> Heartbeat:
    planned, lost = (int(((each > second - 1) & (each <= second)).sum()) for each in (expected_s, lost_s))
    return Heartbeat(
        at_s=float(second),
        issued=lost,
        ok=0,
        failed=lost,
        in_flight=0,
        backlog=0,
        p95_s=None,
        lag_max_s=0.0,
        cpu_ratio=0.0,
        planned=planned,
        overdue=max(lost, 1),  # also where nothing was due: no generator was there to see to it
    )


def _unfinished(expected: ArrivalSchedule, chosen: NDArray[np.bool_], until_s: float, load: Load) -> Samples:
    records = np.zeros(int(chosen.sum()), dtype=RECORD)
    records["intended_s"], records["sent_s"] = expected.intended_s[chosen], np.nan
    records["latency_s"] = until_s - records["intended_s"]
    records["key"], records["version"] = expected.keys[chosen], -1
    records["impatient"] = np.isfinite(expected.patiences_s[chosen])
    names = tuple(request.name for request in load.asked)
    records["operation"] = 1 + expected.requests[chosen] if names else 0  # what a locustfile asks, it alone knows
    records["outcome"] = SampleOutcome.UNFINISHED
    return Samples(records, (NAMELESS, *names))
