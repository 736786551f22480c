"""A run second by second, for pictures and timelines; no verdict rests on these."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from harness.history.samples import SampleOutcome

if TYPE_CHECKING:
    from harness.history.samples import Samples
    from harness.spec.load import Load


NO_LEVEL = "none"
"""What no level of a cache answered: a failure, or an answer that names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """One second of a run, by intended start.

    Attributes:
        at_s: Its beginning, seconds since the origin.
        issued: Requests meant to start in it that promises are about (`Samples.judged`); all below is of these.
        errors: Of these, how many failed, never finished, or were never sent.
        p50_s: Median latency of what was sent, None if nothing was.
        p95_s: The latency that 95 % of what was sent stayed within, None if nothing was sent.
        hits_ratio: Share that a cache answered, of what a cache may answer; None where there was nothing of it.
        sources: What a cache may answer, by the level that did, or `NO_LEVEL`.
    """

    at_s: float
    issued: int
    errors: int
    p50_s: float | None
    p95_s: float | None
    hits_ratio: float | None
    sources: dict[str, int]

    @property
    def errors_ratio(self) -> float | None:
        """Return errors / issued, None if nothing was issued."""
        return self.errors / self.issued if self.issued else None


def percentile_s(latencies_s: np.ndarray, rank: float) -> float | None:
    """Return the latency that `rank` of all stayed within, by nearest rank, so that it really occurred.

    Args:
        latencies_s: Any order, seconds.
        rank: Ratio in (0, 1]; 0.99 for p99.

    Returns:
        Seconds, or None if there are no latencies.

    Source: Hyndman & Fan (1996), definition 1.
    """
    if not len(latencies_s):
        return None
    index = max(0, math.ceil(rank * len(latencies_s)) - 1)
    return float(np.partition(latencies_s, index)[index])


def by_second(samples: Samples, load: Load, *, until_s: float) -> tuple[Second, ...]:
    """Cut a run into seconds.

    Args:
        samples: In order of intended start.
        load: What was asked, and which answers are hits.
        until_s: The end of the last second; the first begins at the origin.
    """
    samples = samples.judged()
    edges = np.searchsorted(samples.records["intended_s"], np.arange(0, math.ceil(until_s) + 1))
    return tuple(_second(at, samples, load, slice(began, ended)) for at, (began, ended) in enumerate(pairwise(edges)))


def _second(at: int, samples: Samples, load: Load, rows: slice) -> Second:
    part = type(samples)(samples.records[rows], samples.operations, samples.sources, samples.replicas)
    sent_s = part.records["latency_s"][~part.has_outcome(SampleOutcome.NOT_SENT)]
    sources = _sources(part.of(load.cacheable) if load.asked else part)
    cacheable = sum(sources.values())
    return Second(
        at_s=float(at),
        issued=len(part),
        errors=int((~part.has_outcome(SampleOutcome.OK)).sum()),
        p50_s=percentile_s(sent_s, 0.5),
        p95_s=percentile_s(sent_s, 0.95),
        hits_ratio=sum(sources.get(level, 0) for level in load.told.hits) / cacheable if cacheable else None,
        sources=sources,
    )


def _sources(part: Samples) -> dict[str, int]:
    is_ok = part.has_outcome(SampleOutcome.OK)
    counted = {name: int((is_ok & part.came_from(name)).sum()) for name in part.sources if name}
    return {**counted, NO_LEVEL: len(part) - sum(counted.values())}
