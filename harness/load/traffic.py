"""Faults of the load, laid into its schedule before it starts, and counted when every request is accounted for.

Pure. What no fault touches stays as it would be without any: the same requests, at the same times, for the same keys.
Each fault draws from a stream of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

import numpy as np

from harness.history.marks import Dose
from harness.history.samples import SampleOutcome
from harness.load.arrivals import NO_KEY, PATIENT_S, ArrivalSchedule, asking, kinds_of, poisson_counts, together
from harness.load.dripping import drips_seen
from harness.load.flow import flow_through
from harness.spec.faults import Cancellations, GreedyClient, HotKey, Retries, SlowReaders, Spike
from harness.spec.quantity import count_text, duration_text, percent_text, rate_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harness.history.load import Heartbeat
    from harness.history.samples import Samples
    from harness.spec.faults.traffic import TrafficWindow
    from harness.spec.load import Load
    from harness.spec.requests import DeclaredRequest, Keys

_STREAMS = 3
"""Names the streams of these faults below a run's seed; the first three are the schedule's own."""

_ORDER = (Spike, GreedyClient, HotKey, Cancellations, Retries, SlowReaders)
"""In which they are laid in: a spike is of the schedule alone, a key is hot for whoever asks, and all may give up."""

ISSUED_RATIO = 0.99
"""Of a window's plan that must be issued, and on time: as `verdict.validity` asks of each second."""

GAVE_UP_RATIO = 0.95
"""Of the clients that gave up, those that must have done so in time; the rest waited for a generator that was busy."""

LATE_S = 0.05
LATE_RATIO = 0.1
"""How much later than meant a client may give up, the larger of the two: as with a delay of `faults.network`."""


def with_traffic(
    schedule: ArrivalSchedule, traffic: Sequence[TrafficWindow], load: Load, *, seed: int
) -> ArrivalSchedule:
    """Lay faults of the load into its schedule.

    Args:
        schedule: All of the run's arrivals without them.
        traffic: The faults; no two that are there together do the same.
        load: What the arrivals are of.
        seed: The run's.
    """
    for window in sorted(traffic, key=lambda each: _ORDER.index(type(each.fault))):
        match window.fault:
            case Spike():
                schedule = _spiked(schedule, window.fault, window, load, seed)
            case GreedyClient():
                schedule = _joined(schedule, window.fault, window, load, seed)
            case HotKey():
                schedule = _heated(schedule, window.fault, window, load, seed)
            case Cancellations():
                schedule = _impatient(schedule, window.fault, window, seed)
            case Retries() | SlowReaders():
                pass  # what is asked again is what fails (`retrying`); who is slow is beside the schedule (`dripping`)
            case _:
                assert_never(window.fault)
    return schedule


def _seeds(window: TrafficWindow, seed: int) -> np.random.SeedSequence:
    """Return the seeds of a fault: its own, by what tells it from any other."""
    return np.random.SeedSequence(seed, spawn_key=(_STREAMS, *window.id.encode()))


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
    seed: int,
    at_s: float,
) -> Dose:
    """Return what was seen of a fault of the load.

    Args:
        window: The fault, and when it was to be there.
        schedule: All arrivals that were planned, with all faults.
        load: As the scenario has it.
        samples: What came of every arrival that was issued.
        beats: What the generator said of each second: in one in which it was late, less was offered than planned.
        seed: The run's.
        at_s: When this is looked at, seconds since the origin.
    """
    planned = schedule.between(window.starts_s, window.ends_s)
    issued = samples.between(window.starts_s, window.ends_s)
    late = sum(beat.overdue or 0 for beat in beats if window.starts_s < beat.at_s < window.ends_s + 1)
    is_seen = True
    match window.fault:
        case SlowReaders():
            is_seen, seen = drips_seen(window.fault, window, beats)
            return Dose(at_s=at_s, is_delivered=is_seen, seen=seen)
        case Spike():
            counts = len(planned), len(issued)
            seen = f"{_rate(len(issued), window)}, where the schedule has {_rate(_usual(load, window), window)}"
        case GreedyClient(asks=name):
            counts = int((planned.requests == _index(load, name)).sum()), len(issued.of(name))
            seen = f"{_rate(counts[1], window)}, beside {_rate(len(issued) - counts[1], window)} of others"
        case HotKey():
            hot = hot_keys(load, window, seed)
            counts, asked = _hot_counts(hot, load, planned, issued)
            keys = ", ".join(str(key) for key in hot.values())
            seen = f"{percent_text(round(counts[1] / max(1, asked), 3))} of what asked for a key, for key {keys}"
        case Cancellations(after=after_s):
            impatient = issued.keep(issued.records["impatient"] > 0)
            counts = int((planned.patiences_s < PATIENT_S).sum()), len(impatient)
            is_seen, seen = _given_up(impatient, after_s)
        case Retries():
            mine = samples.of([request.name for request in load.asked if window.fault.repeats(request)])
            counts = _again_counts(window.fault, window, mine, float(schedule.intended_s.max(initial=0.0)))
            first = int((mine.between(window.starts_s, window.ends_s).records["attempt"] == 0).sum())
            seen = f"asked again beside {count_text(first)} first ones, an amplification of"
            seen += f" {1 + counts[1] / max(1, first):.2f}"
        case _:
            assert_never(window.fault)
    said = (
        f"{count_text(counts[1])} requests issued in {duration_text(window.lasts_s)} ({count_text(counts[0])} planned"
    )
    said += f"; {count_text(late)} of all were late)" if late else ")"
    is_issued = 0 < counts[0] * ISSUED_RATIO <= counts[1] and late <= (1 - ISSUED_RATIO) * len(planned)
    return Dose(at_s=at_s, is_delivered=is_issued and is_seen, seen=f"{said}: {seen}")


def _given_up(impatient: Samples, after_s: float) -> tuple[bool, str]:
    """Tell whether clients gave up, and when they were to, and say it; where all were answered first, none did."""
    gone = impatient.records[impatient.has_outcome(SampleOutcome.CANCELLED)]
    if not len(gone):
        return False, f"none was given up: each had ended within {duration_text(after_s)}"
    waited_s = gone["intended_s"] + gone["latency_s"] - gone["sent_s"]
    most_s = float(np.quantile(waited_s, GAVE_UP_RATIO))
    said = f"{count_text(len(gone))} were given up, {percent_text(GAVE_UP_RATIO)} of them within {most_s * 1000:.1f} ms"
    is_in_time = most_s <= after_s + max(LATE_S, LATE_RATIO * after_s)
    return is_in_time, f"{said}; {count_text(len(impatient) - len(gone))} had ended before"


def _again_counts(fault: Retries, window: TrafficWindow, samples: Samples, until_s: float) -> tuple[int, int]:
    """Return how many requests were to be asked again, and how many were, of what failed in a window.

    Args:
        fault: Which and when.
        window: What fails in it.
        samples: All requests that may be asked again, with those that were.
        until_s: Whatever would come later than this was not to come any more.
    """
    records = samples.records
    waits_s = np.array([0.0, *(fault.wait_s(attempt) for attempt in range(1, fault.times + 1))])
    attempts = np.minimum(records["attempt"], fault.times)
    failed_s = records["intended_s"] + records["latency_s"]
    is_due = samples.has_outcome(SampleOutcome.FAILED) & (records["attempt"] < fault.times)
    is_due &= (failed_s >= window.starts_s) & (failed_s < window.ends_s)
    is_due &= failed_s + waits_s[np.minimum(attempts + 1, fault.times)] < until_s
    before_s = records["intended_s"] - waits_s[attempts]
    came = (records["attempt"] > 0) & (before_s >= window.starts_s) & (before_s < window.ends_s)
    return int(is_due.sum()), int((came & (records["intended_s"] < until_s)).sum())


def hot_keys(load: Load, window: TrafficWindow, seed: int) -> dict[Keys, int]:
    """Return the key that is hot in a window, of each range of keys that a request of the load asks for."""
    chance = np.random.default_rng(_seeds(window, seed).spawn(1)[0])
    ranges = dict.fromkeys(request.keys or load.keys for request in load.asked if request.has_key)
    return {keys: keys.first + int(chance.integers(keys.count)) for keys in ranges}


def _hot_counts(
    hot: dict[Keys, int], load: Load, planned: ArrivalSchedule, issued: Samples
) -> tuple[tuple[int, int], int]:
    """Return how many requests for hot keys were planned and issued, and how many were issued for any key."""
    named = [(index, request.name, hot[request.keys or load.keys]) for index, request in _with_keys(load)]
    meant = sum(int(((planned.requests == index) & (planned.keys == key)).sum()) for index, _, key in named)
    came = sum(int((issued.of(name).records["key"] == key).sum()) for _, name, key in named)
    return (meant, came), int((issued.records["key"] != NO_KEY).sum())


def _spiked(schedule: ArrivalSchedule, spike: Spike, window: TrafficWindow, load: Load, seed: int) -> ArrivalSchedule:
    """Replace the arrivals of a window by as many as the spike has.

    The schedule's own are not kept in it: other beats between those of a metronome would make no metronome.
    """
    arrivals, keys, mix = (np.random.default_rng(each) for each in _seeds(window, seed).spawn(3))
    intended_s = _spike_s(spike, load, window, arrivals)
    requests = kinds_of(load, mix.random(len(intended_s)))
    during = asking(load, intended_s, requests, keys=keys, first_number=_next_number(schedule))
    return together([schedule.ending(window.starts_s), during, schedule.beginning(window.ends_s)])


def _joined(
    schedule: ArrivalSchedule, client: GreedyClient, window: TrafficWindow, load: Load, seed: int
) -> ArrivalSchedule:
    """Add what one client asks besides."""
    arrivals, keys = (np.random.default_rng(each) for each in _seeds(window, seed).spawn(2))
    intended_s = _at_rate_s(client.rate, load, window, arrivals)
    requests = np.full(len(intended_s), _index(load, client.asks), dtype=np.uint8)
    return together([schedule, asking(load, intended_s, requests, keys=keys, first_number=_next_number(schedule))])


def _heated(schedule: ArrivalSchedule, fault: HotKey, window: TrafficWindow, load: Load, seed: int) -> ArrivalSchedule:
    """Let a share of the requests of a window ask for the hot key of their range."""
    chosen = np.random.default_rng(_seeds(window, seed).spawn(2)[1]).random(len(schedule)) < fault.share
    chosen &= (schedule.intended_s >= window.starts_s) & (schedule.intended_s < window.ends_s)
    hot, keys = hot_keys(load, window, seed), schedule.keys.copy()
    for index, request in _with_keys(load):
        keys[chosen & (schedule.requests == index)] = hot[request.keys or load.keys]
    return replace(schedule, keys=keys)


def _impatient(schedule: ArrivalSchedule, fault: Cancellations, window: TrafficWindow, seed: int) -> ArrivalSchedule:
    """Let the clients of a share of the requests of a window give up."""
    chosen = np.random.default_rng(_seeds(window, seed)).random(len(schedule)) < fault.share
    chosen &= (schedule.intended_s >= window.starts_s) & (schedule.intended_s < window.ends_s)
    return replace(schedule, patiences_s=np.where(chosen, fault.after, schedule.patiences_s))


def _with_keys(load: Load) -> list[tuple[int, DeclaredRequest]]:
    return [(index, request) for index, request in enumerate(load.asked) if request.has_key]


def _spike_s(spike: Spike, load: Load, window: TrafficWindow, random: np.random.Generator) -> NDArray[np.float64]:
    """Return when the arrivals of a spike are meant to start, ascending, in its window."""
    if spike.rate is not None:
        return _at_rate_s(spike.rate, load, window, random)
    times, line = spike.times or 1.0, load.schedule.knots(load.arrivals_per_s, window.ends_s)
    counts = _counts(_usual(load, window) * times, load, random) / times
    # To the axis of what is due and back is a hair's difference, and none may come before the window begins.
    intended_s = np.maximum(flow_through(line).moments_s(load.expected(0.0, window.starts_s) + counts), window.starts_s)
    return intended_s[intended_s < window.ends_s]


def _at_rate_s(per_s: float, load: Load, window: TrafficWindow, random: np.random.Generator) -> NDArray[np.float64]:
    intended_s = window.starts_s + _counts(per_s * window.lasts_s, load, random) / per_s
    return intended_s[intended_s < window.ends_s]


def _counts(due: float, load: Load, random: np.random.Generator) -> NDArray[np.float64]:
    """Return arrivals on the axis of what is due, in [0, due), ascending: beats, or independent clients."""
    return np.arange(0.0, due) if load.arrivals == "constant" else poisson_counts(due, random)


def _usual(load: Load, window: TrafficWindow) -> float:
    """Return how many arrivals the schedule has in a window, on average."""
    return load.expected(window.starts_s, window.ends_s)


def _index(load: Load, name: str) -> int:
    return next(index for index, request in enumerate(load.asked) if request.name == name)


def _rate(count: float, window: TrafficWindow) -> str:
    return rate_text(round(count / window.lasts_s, 1))


def _next_number(schedule: ArrivalSchedule) -> int:
    return int(schedule.numbers.max(initial=-1)) + 1
