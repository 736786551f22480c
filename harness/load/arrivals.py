"""Which request comes when: the whole schedule of an open load, computed before it starts.

Pure: the same plan and seed give the same requests, so a run can be repeated, and nothing is drawn while the clock
runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.load.flow import flow_through
from harness.load.replay import replayed_s

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from harness.spec.load import Load
    from harness.spec.requests import Keys

_SLICE = 4096


NO_KEY = -1
"""The key of a request that asks for none of many like things."""

PATIENT_S = math.inf
"""The patience of a client that waits until the generator itself gives up (`load.plan.ANSWER_WITHIN_S`)."""


@dataclass(frozen=True, slots=True, eq=False)
class ArrivalSchedule:
    """Every request of a run, in order of its intended start.

    Attributes:
        intended_s: Seconds since the origin, ascending.
        keys: The key that each asks for, or `NO_KEY`.
        requests: What each asks, an index into the load's requests.
        numbers: Which of the whole run's arrivals each is, from 0; no two of a run have the same.
        patiences_s: How long the client of each waits for its answer, from when it sends it; `PATIENT_S` for most.
    """

    intended_s: NDArray[np.float64]
    keys: NDArray[np.int32]
    requests: NDArray[np.uint8]
    numbers: NDArray[np.int64]
    patiences_s: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.intended_s)

    def part(self, index: int, of: int) -> ArrivalSchedule:
        """Return every `of`-th request, from the one at `index` on: all parts together are the whole, each once."""
        return self.rows(slice(index, None, of))

    def beginning(self, from_s: float) -> ArrivalSchedule:
        """Return the requests that are meant to start at or after this, seconds since the origin."""
        return self.rows(slice(int(np.searchsorted(self.intended_s, from_s)), None))

    def ending(self, until_s: float) -> ArrivalSchedule:
        """Return the requests that are meant to start before this, seconds since the origin."""
        return self.rows(slice(None, int(np.searchsorted(self.intended_s, until_s))))

    def between(self, began_s: float, ended_s: float) -> ArrivalSchedule:
        """Return the requests that are meant to start in [began_s, ended_s), seconds since the origin."""
        return self.beginning(began_s).ending(ended_s)

    def rows(self, chosen: slice | NDArray[np.intp]) -> ArrivalSchedule:
        """Return some of the requests."""
        return ArrivalSchedule(*(column[chosen] for column in self.columns))

    @property
    def columns(self) -> tuple[NDArray[Any], ...]:
        """Return all that is known of each request, in the order of the attributes."""
        return self.intended_s, self.keys, self.requests, self.numbers, self.patiences_s

    def __iter__(self) -> Iterator[tuple[float, int, int, int, float]]:
        """Hand out the attributes of each request; a slice at a time, so that a long run needs no lists."""
        for first in range(0, len(self), _SLICE):
            part = slice(first, first + _SLICE)
            yield from zip(*(column[part].tolist() for column in self.columns), strict=True)


def together(schedules: Sequence[ArrivalSchedule]) -> ArrivalSchedule:
    """Return the requests of several schedules as one, in order of their intended start."""
    columns = zip(*(schedule.columns for schedule in schedules), strict=True)
    whole = ArrivalSchedule(*(np.concatenate(column) for column in columns))
    return whole.rows(np.argsort(whole.intended_s, kind="stable"))


def schedule_of(
    load: Load, *, lasts_s: float, seed: int, recording_s: NDArray[np.float64] | None = None
) -> ArrivalSchedule:
    """Lay out a whole run.

    Args:
        load: Rate, requests and keys.
        lasts_s: No request starts at or after this, seconds since the origin.
        seed: Of arrivals, keys and mix, each drawn from a stream of its own, so that changing one leaves the others.
        recording_s: The arrivals to repeat, seconds from the first; needed for the schedule `replay`.

    Raises:
        LoadError: If a recording is too short for the run.
    """
    arrivals, keys, mix = (np.random.default_rng(each) for each in np.random.SeedSequence(seed).spawn(3))
    if recording_s is None:
        intended_s = _intended_s(load, lasts_s, arrivals)
    else:
        intended_s = replayed_s(recording_s, load.arrivals_per_s, lasts_s)
    requests = kinds_of(load, mix.random(len(intended_s)))
    return asking(load, intended_s, requests, keys=keys)


def asking(
    load: Load,
    intended_s: NDArray[np.float64],
    requests: NDArray[np.uint8],
    *,
    keys: np.random.Generator,
    first_number: int = 0,
) -> ArrivalSchedule:
    """Return arrivals at these moments that ask these requests, each with a key of its request's range."""
    count = len(intended_s)
    numbers = np.arange(first_number, first_number + count)
    patiences_s = np.full(count, PATIENT_S)
    return ArrivalSchedule(intended_s, keys_of(load, requests, keys.random(count)), requests, numbers, patiences_s)


def kinds_of(load: Load, drawn: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return which request each arrival is, by its draw in [0, 1); all are the first where a locustfile asks."""
    shares = np.cumsum([request.weight for request in load.asked] or [1.0])
    return np.searchsorted(shares / shares[-1], drawn, side="right").astype(np.uint8)


def keys_of(load: Load, requests: NDArray[np.uint8], drawn: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return the key that each arrival asks for, by its draw in [0, 1): one draw, whichever range it is taken from."""
    keys = np.full(len(drawn), NO_KEY, dtype=np.int32)
    ranges = {index: each.keys or load.keys for index, each in enumerate(load.asked) if each.has_key}
    for wanted in dict.fromkeys(ranges.values()):
        chosen = np.isin(requests, [index for index, each in ranges.items() if each == wanted])
        keys[chosen] = zipf_keys(wanted, drawn[chosen])
    return keys


def _intended_s(load: Load, lasts_s: float, random: np.random.Generator) -> NDArray[np.float64]:
    flow = flow_through(load.schedule.knots(load.arrivals_per_s, lasts_s))
    counts = np.arange(0.0, flow.total) if load.arrivals == "constant" else poisson_counts(flow.total, random)
    intended_s = flow.moments_s(counts)
    return intended_s[intended_s < lasts_s]  # 1.1 s * 100/s is a hair more than 110, and would make it 111


def poisson_counts(total: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Return the arrivals of a Poisson process on the axis of what is due, where its rate is 1.

    Given how many there are, they are uniform and independent; carried back to the axis of time, they are a Poisson
    process with the changing rate.

    Source: Kingman, Poisson Processes (1993), sections 2.3 (mapping) and 2.4.
    """
    return np.sort(random.random(random.poisson(total)) * total)


def zipf_keys(keys: Keys, drawn: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return the key at each draw in [0, 1): the k-th of a range has a share of 1 / k^s, the first most."""
    weights = np.arange(1, keys.count + 1, dtype=np.float64) ** -keys.zipf
    shares = np.cumsum(weights)
    # Divided by its own end, not by weights.sum(), which adds in another order: the last must be 1 to the bit.
    return (keys.first + np.searchsorted(shares / shares[-1], drawn)).astype(np.int32)
