"""Who comes when, and what for: the whole schedule of an open load, computed before it starts.

Pure: the same plan and seed give the same requests, so a run can be repeated, and nothing is drawn while the clock
runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.load.flow import flow_through
from harness.load.replay import replayed_s

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from harness.spec.load import Keys, Load

_SLICE = 4096


@dataclass(frozen=True, slots=True, eq=False)
class ArrivalSchedule:
    """Every request of a run, in order of its intended start.

    Attributes:
        intended_s: Seconds since the origin, ascending.
        keys: The item that each asks for.
        is_write: Whether it writes.
    """

    intended_s: NDArray[np.float64]
    keys: NDArray[np.int32]
    is_write: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.intended_s)

    def part(self, index: int, of: int) -> ArrivalSchedule:
        """Return every `of`-th request, from the one at `index` on: all parts together are the whole, each once."""
        rows = slice(index, None, of)
        return ArrivalSchedule(self.intended_s[rows], self.keys[rows], self.is_write[rows])

    def beginning(self, from_s: float) -> ArrivalSchedule:
        """Return the requests that are meant to start at or after this, seconds since the origin."""
        rows = slice(int(np.searchsorted(self.intended_s, from_s)), None)
        return ArrivalSchedule(self.intended_s[rows], self.keys[rows], self.is_write[rows])

    def ending(self, until_s: float) -> ArrivalSchedule:
        """Return the requests that are meant to start before this, seconds since the origin."""
        rows = slice(None, int(np.searchsorted(self.intended_s, until_s)))
        return ArrivalSchedule(self.intended_s[rows], self.keys[rows], self.is_write[rows])

    def __iter__(self) -> Iterator[tuple[float, int, bool]]:
        """Hand out intended start, key and whether it writes; a slice at a time, so that a long run needs no lists."""
        for first in range(0, len(self), _SLICE):
            part = slice(first, first + _SLICE)
            yield from zip(
                self.intended_s[part].tolist(), self.keys[part].tolist(), self.is_write[part].tolist(), strict=True
            )


def schedule_of(
    load: Load, *, lasts_s: float, seed: int, recording_s: NDArray[np.float64] | None = None
) -> ArrivalSchedule:
    """Lay out a whole run.

    Args:
        load: Rate, mix and keys.
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
    count = len(intended_s)
    return ArrivalSchedule(intended_s, zipf_keys(load.keys, count, keys), mix.random(count) < load.writes)


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


def zipf_keys(keys: Keys, count: int, random: np.random.Generator) -> NDArray[np.int32]:
    """Draw `count` items, of which the k-th most popular has a share of 1 / k^s; item 0 is the most popular."""
    weights = np.arange(1, keys.count + 1, dtype=np.float64) ** -keys.zipf
    shares = np.cumsum(weights)
    # Divided by its own end, not by weights.sum(), which adds in another order: the last must be 1 to the bit.
    return np.searchsorted(shares / shares[-1], random.random(count)).astype(np.int32)
