"""Faults of the load, laid into its schedule before it starts, and counted when every request is accounted for.

Pure. What no fault touches stays as it would be without any: the same requests, at the same times, for the same keys.
Each fault draws from a stream of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import numpy as np

from harness.history.marks import Dose
from harness.load.arrivals import asking, kinds_of, poisson_counts, together
from harness.load.flow import flow_through
from harness.spec.faults import Spike
from harness.spec.quantity import count_text, duration_text, rate_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harness.history.load import Heartbeat
    from harness.history.samples import Samples
    from harness.load.arrivals import ArrivalSchedule
    from harness.spec.faults.traffic import TrafficWindow
    from harness.spec.load import Load

_STREAMS = 3
"""Names the streams of these faults below a run's seed; the first three are the schedule's own."""

ISSUED_RATIO = 0.99
"""Of a window's plan that must be issued, and on time: as `verdict.validity` asks of each second."""


def with_traffic(
    schedule: ArrivalSchedule, traffic: Sequence[TrafficWindow], load: Load, *, seed: int
) -> ArrivalSchedule:
    """Lay faults of the load into its schedule.

    Args:
        schedule: All of the run's arrivals without them.
        traffic: The faults; no two of a kind are there together.
        load: What the arrivals are of.
        seed: The run's.
    """
    for index, window in enumerate(traffic):
        seeds = np.random.SeedSequence(seed, spawn_key=(_STREAMS, index))
        match window.fault:
            case Spike():
                schedule = _spiked(schedule, window.fault, window, load, seeds)
            case _:
                assert_never(window.fault)
    return schedule


def peak_per_s(traffic: Sequence[TrafficWindow], load: Load) -> float:
    """Return the highest rate of arrivals that faults of the load come to; 0 without any."""
    return max((each.fault.peak_per_s(load, each.starts_s, each.ends_s) for each in traffic), default=0.0)


def dose_of(
    window: TrafficWindow,
    schedule: ArrivalSchedule,
    load: Load,
    samples: Samples,
    beats: Sequence[Heartbeat],
    *,
    at_s: float,
) -> Dose:
    """Return what was seen of a fault of the load.

    Args:
        window: The fault, and when it was to be there.
        schedule: All arrivals that were planned, with all faults.
        load: As the scenario has it.
        samples: What came of every arrival that was issued.
        beats: What the generator said of each second: in one in which it was late, less was offered than planned.
        at_s: When this is looked at, seconds since the origin.
    """
    planned = len(schedule.between(window.starts_s, window.ends_s))
    issued = len(samples.between(window.starts_s, window.ends_s))
    late = sum(beat.overdue or 0 for beat in beats if window.starts_s < beat.at_s < window.ends_s + 1)
    is_issued = 0 < planned * ISSUED_RATIO <= issued and late <= (1 - ISSUED_RATIO) * planned
    said = f"{count_text(issued)} of {count_text(planned)} planned requests were issued"
    said += f", {count_text(late)} of them late" if late else ""
    match window.fault:
        case Spike():
            usual_per_s = load.expected(window.starts_s, window.ends_s) / window.lasts_s
            rate = rate_text(round(issued / window.lasts_s, 1))
            seen = f"{said} in {duration_text(window.lasts_s)}: {rate}, where the schedule has {rate_text(usual_per_s)}"
            return Dose(at_s=at_s, is_delivered=is_issued, seen=seen)
        case _:
            assert_never(window.fault)


def _spiked(
    schedule: ArrivalSchedule, spike: Spike, window: TrafficWindow, load: Load, seeds: np.random.SeedSequence
) -> ArrivalSchedule:
    """Replace the arrivals of a window by as many as the spike has.

    The schedule's own are not kept in it: other beats between those of a metronome would make no metronome.
    """
    arrivals, keys, mix = (np.random.default_rng(each) for each in seeds.spawn(3))
    intended_s = _spike_s(spike, load, window.starts_s, window.ends_s, arrivals)
    requests = kinds_of(load, mix.random(len(intended_s)))
    during = asking(load, intended_s, requests, keys=keys, first_number=_next_number(schedule))
    return together([schedule.ending(window.starts_s), during, schedule.beginning(window.ends_s)])


def _spike_s(
    spike: Spike, load: Load, starts_s: float, ends_s: float, random: np.random.Generator
) -> NDArray[np.float64]:
    """Return when the arrivals of a spike are meant to start, in [starts_s, ends_s), ascending."""
    if spike.rate is None:
        flow, times = flow_through(load.schedule.knots(load.arrivals_per_s, ends_s)), spike.times or 1.0
        due_before, due = load.expected(0.0, starts_s), load.expected(starts_s, ends_s)
    else:
        flow, times = flow_through(((0.0, spike.rate), (ends_s, spike.rate))), 1.0
        due_before, due = spike.rate * starts_s, spike.rate * (ends_s - starts_s)
    counts = np.arange(0.0, due * times) if load.arrivals == "constant" else poisson_counts(due * times, random)
    # To the axis of what is due and back is a hair's difference, and none may come before the window begins.
    intended_s = np.maximum(flow.moments_s(due_before + counts / times), starts_s)
    return intended_s[intended_s < ends_s]


def _next_number(schedule: ArrivalSchedule) -> int:
    return int(schedule.numbers.max(initial=-1)) + 1
