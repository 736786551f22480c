"""Whether a limiter let more through than a bucket allows: in any stretch of time, not only in whole seconds.

A request pays at some moment between its sending and its answer, and which one is not known. So a stretch of time
proves something only about the requests that were sent *and* answered in it: of those, at most burst + rate · Δt + 1
may have been admitted, whatever the order in which they paid, and however long they were under way.

```
          |<------------- Δt ------------->|
 admitted |--|   |-----|     |-|    |------|      these four paid inside
 admitted            |---------------------------|   this one perhaps later
```

To ask that of all pairs of a beginning and an end would take n² steps. For each end, the worst beginning is the one
with the greatest `rate · beginning + requests since`, and a tree over the beginnings knows it: n · log n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.history.operations import GONE
from harness.history.samples import SampleOutcome
from harness.measure.asked import clients
from harness.measure.invariants.finding import Counterexample, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from harness.history.history import History
    from harness.spec.invariant import LimiterNeverOverAdmits
    from harness.spec.load import Load

ROUNDING = 1.0
"""A limiter may count a token that is refilled while it looks: burst + rate · Δt + 1 (docs/core.md, L1)."""

CLOCK_ERROR_RATIO = 500e-6
"""The limiter goes by another clock than the samples. A clock that is being set right runs faster by at most this.
Source: adjtimex(2) and ntpd(8), which slew by at most 500 parts in a million."""


@dataclass(frozen=True, slots=True)
class _Requests:
    """Some requests of one client, in order of their sending.

    Attributes:
        sent_s: When each was sent, which is before it paid.
        answered_s: When its answer was there, which is after it paid.
        rows: Its sample.
    """

    sent_s: NDArray[np.float64]
    answered_s: NDArray[np.float64]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class _Excess:
    """A stretch of time in which too many were admitted: the first to end, and of those the shortest."""

    began_s: float
    ended_s: float
    rows: tuple[int, ...]
    client: str


def limiter_never_over_admits(invariant: LimiterNeverOverAdmits, load: Load, history: History) -> Finding:
    """Look for a stretch of time in which a client got more than its bucket allows.

    A request counts as checked if its client had asked for more than that by then: one that never asks for too much is
    refused nothing, by whatever limiter.
    """
    checked, broken, first = 0, 0, None
    for client, admitted, asked in _by_client(invariant, load, history):
        over = sum(_is_over(asked, invariant))
        checked += over
        if not over:
            continue  # what was admitted is part of what was asked
        ends = _is_over(admitted, invariant)
        broken += sum(ends)
        if any(ends):
            excess = _shortest(admitted, invariant, client, order=ends.index(True))
            first = excess if first is None or excess.ended_s < first.ended_s else first
    return Finding(
        checked=checked,
        broken=broken,
        first=None if first is None else _counterexample(first, invariant),
        wanted=f"no client asked for more than a burst of {invariant.burst:g} and {invariant.rate_per_s:g}/s at any "
        f"time; let one that {' and '.join(invariant.by)} names do so",
    )


def _by_client(
    invariant: LimiterNeverOverAdmits, load: Load, history: History
) -> Iterator[tuple[str, _Requests, _Requests]]:
    """Return each client with its requests that were admitted, and with those that were either that or refused.

    One that failed in another way may never have come to the limiter, so it counts for neither.
    """
    samples = history.samples
    records, asking = samples.records, clients(samples, load, invariant.by)
    is_admitted = samples.has_outcome(SampleOutcome.OK) | np.isin(records["status"], GONE)
    is_refused = np.isin(records["status"], invariant.refused_with)
    for number, client in enumerate(asking.names):
        is_own = asking.numbers == number
        yield client, _requests(records, is_own & is_admitted), _requests(records, is_own & (is_admitted | is_refused))


def _requests(records: NDArray[np.void], chosen: NDArray[np.bool_]) -> _Requests:
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(records["sent_s"][rows], kind="stable")]
    return _Requests(records["sent_s"][rows], records["intended_s"][rows] + records["latency_s"][rows], rows)


def _is_over(requests: _Requests, invariant: LimiterNeverOverAdmits) -> list[bool]:
    """Tell for each answer, in order, whether a stretch of time that ends with it has too many."""
    per_s = _per_s(invariant)
    worst = _WorstBeginning(len(requests))
    over = []
    for place in np.argsort(requests.answered_s, kind="stable").tolist():
        worst.add(place, per_s * float(requests.sent_s[place]))
        over.append(worst.greatest - per_s * float(requests.answered_s[place]) > invariant.burst + ROUNDING)
    return over


def _per_s(invariant: LimiterNeverOverAdmits) -> float:
    return invariant.rate_per_s * (1 + CLOCK_ERROR_RATIO)


class _WorstBeginning:
    """A tree over requests in order of sending: the greatest of `rate · sent + how many of those added are no earlier`.

    A node knows how many of its requests were added, and the greatest of that sum within itself; what is to the right
    of a request counts for it, so a node's left half gains what its right half has.
    """

    def __init__(self, count: int) -> None:
        self._leaves = 1 << max(0, count - 1).bit_length()
        self._added = [0] * (2 * self._leaves)
        self._greatest = [-math.inf] * (2 * self._leaves)

    @property
    def greatest(self) -> float:
        """Return it; minus infinity where nothing was added."""
        return self._greatest[1]

    def add(self, place: int, at_sending: float) -> None:
        """Add the request at a place, whose `rate · sent` is `at_sending`."""
        added, greatest = self._added, self._greatest
        node = place + self._leaves
        added[node], greatest[node] = 1, at_sending + 1
        while node > 1:
            node >>= 1
            left, right = 2 * node, 2 * node + 1
            added[node] = added[left] + added[right]
            greatest[node] = max(greatest[right], greatest[left] + added[right])


def _shortest(requests: _Requests, invariant: LimiterNeverOverAdmits, client: str, *, order: int) -> _Excess:
    """Return the shortest stretch with too many of those that end with the `order`-th answer."""
    ended_s = float(np.sort(requests.answered_s)[order])
    inside = requests.answered_s <= ended_s
    since = np.cumsum(inside[::-1])[::-1]
    excess = since - (invariant.burst + ROUNDING + _per_s(invariant) * (ended_s - requests.sent_s))
    excess[~inside] = -math.inf
    beginnings = np.flatnonzero(excess > 0)
    # By a rounding there may be none, although the tree, which adds in another order, has seen one.
    first = int(beginnings[-1]) if len(beginnings) else int(excess.argmax())
    rows = requests.rows[first:][inside[first:]]
    return _Excess(float(requests.sent_s[first]), ended_s, tuple(rows.tolist()), client)


def _counterexample(excess: _Excess, invariant: LimiterNeverOverAdmits) -> Counterexample:
    lasted_s = excess.ended_s - excess.began_s
    allowed = invariant.burst + ROUNDING + invariant.rate_per_s * lasted_s
    sentence = (
        f"client {excess.client!r}: {len(excess.rows)} requests were sent and admitted within {lasted_s:.3f} s, from "
        f"{excess.began_s:.3f} s (sample {excess.rows[0]}) to {excess.ended_s:.3f} s, where a burst of "
        f"{invariant.burst:g} and {invariant.rate_per_s:g}/s allow {allowed:.1f}"
    )
    return Counterexample(sentence=sentence, samples=excess.rows)
