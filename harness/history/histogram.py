"""Latencies counted in buckets that grow with them: parts add up exactly, and any quantile is right to 0.4 %.

Bucket i holds latencies in (GROWTH^(i-1), GROWTH^i] microseconds. What is slower than an objective is counted from the
requests themselves, never from here: this is for the second that several generators saw together.

Source: Masson, Rim & Lee, DDSketch (VLDB 2019), section 2.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

ACCURACY_RATIO = 0.004
GROWTH = (1 + ACCURACY_RATIO) / (1 - ACCURACY_RATIO)
_SMALLEST_S = 1e-6


class Histogram:
    """Latencies of any number of requests.

    Its text form, `583:4 590:1`, is a bucket and its count each.
    """

    def __init__(self, counts: Counter[int] | None = None) -> None:
        self._counts = counts or Counter()

    def __len__(self) -> int:
        return self._counts.total()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self._counts == other._counts

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __str__(self) -> str:
        return " ".join(f"{bucket}:{count}" for bucket, count in sorted(self._counts.items()))

    def quantile_s(self, rank: float) -> float | None:
        """Return the latency that `rank` of all stayed within, by nearest rank, to 0.4 %; None of none."""
        wanted, seen = max(1, math.ceil(rank * len(self))), 0
        for bucket, count in sorted(self._counts.items()):
            seen += count
            if seen >= wanted:
                return _SMALLEST_S * 2 * GROWTH**bucket / (GROWTH + 1)
        return None


def histogram_of(latencies_s: ArrayLike) -> Histogram:
    """Count latencies; a microsecond is the least."""
    in_smallest = np.maximum(np.asarray(latencies_s, dtype=np.float64) / _SMALLEST_S, 1.0)
    buckets, counts = np.unique(np.ceil(np.log(in_smallest) / math.log(GROWTH)).astype(np.int64), return_counts=True)
    return Histogram(Counter(dict(zip(buckets.tolist(), counts.tolist(), strict=True))))


def merged(parts: Iterable[Histogram]) -> Histogram:
    """Return all of them as one, exactly."""
    counts: Counter[int] = Counter()
    for part in parts:
        counts.update(part._counts)  # noqa: SLF001 - its own kind
    return Histogram(counts)


def from_text(text: str) -> Histogram:
    """Read a histogram's text form.

    Raises:
        ValueError: If it is none.
    """
    counts = Counter({int(bucket): int(count) for bucket, _, count in (word.partition(":") for word in text.split())})
    if any(count < 1 for count in counts.values()):
        raise ValueError(f"not a histogram: {text[:60]!r}")
    return Histogram(counts)
