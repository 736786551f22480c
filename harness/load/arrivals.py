"""Who comes when, and what for: the whole course of an open load, computed before it starts.

Pure: the same plan and seed give the same requests, so a run can be repeated, and nothing is drawn while the clock
runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from harness.spec.load import Keys, Load

_SLICE = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Course:
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

    def __iter__(self) -> Iterator[tuple[float, int, bool]]:
        """Hand out intended start, key and whether it writes; a slice at a time, so that a long run needs no lists."""
        for first in range(0, len(self), _SLICE):
            part = slice(first, first + _SLICE)
            yield from zip(
                self.intended_s[part].tolist(), self.keys[part].tolist(), self.is_write[part].tolist(), strict=True
            )


def course_of(load: Load, *, lasts_s: float, seed: int) -> Course:
    """Lay out a whole run.

    Args:
        load: Rate, mix and keys.
        lasts_s: No request starts at or after this, seconds since the origin.
        seed: Of arrivals, keys and mix, each drawn from a stream of its own, so that changing one leaves the others.
    """
    arrivals, keys, mix = (np.random.default_rng(each) for each in np.random.SeedSequence(seed).spawn(3))
    intended_s = _intended_s(load, lasts_s, arrivals)
    count = len(intended_s)
    return Course(intended_s, zipf_keys(load.keys, count, keys), mix.random(count) < load.writes)


def _intended_s(load: Load, lasts_s: float, random: np.random.Generator) -> NDArray[np.float64]:
    if load.arrivals == "constant":
        intended_s = np.arange(0.0, lasts_s * load.arrivals_per_s) / load.arrivals_per_s
        return intended_s[intended_s < lasts_s]  # 1.1 s * 100/s is a hair more than 110, and would make it 111
    return poisson_s(load.arrivals_per_s, lasts_s, random)


def poisson_s(per_s: float, lasts_s: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Return the arrivals of a Poisson process: given how many there are, they are uniform and independent.

    Source: Kingman, Poisson Processes (1993), section 2.4.
    """
    return np.sort(random.random(random.poisson(per_s * lasts_s)) * lasts_s)


def zipf_keys(keys: Keys, count: int, random: np.random.Generator) -> NDArray[np.int32]:
    """Draw `count` items, of which the k-th most popular has a share of 1 / k^s; item 0 is the most popular."""
    weights = np.arange(1, keys.count + 1, dtype=np.float64) ** -keys.zipf
    shares = np.cumsum(weights)
    # Divided by its own end, not by weights.sum(), which adds in another order: the last must be 1 to the bit.
    return np.searchsorted(shares / shares[-1], random.random(count)).astype(np.int32)
