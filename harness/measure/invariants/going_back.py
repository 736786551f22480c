"""Answers with a lower version of an item than one that somebody knew before: what several invariants look for.

Somebody is a replica, which should not forget what it answered, or a client, which was promised not to see time run
backwards. Two answers are in order if the first had come before the second was asked for; of two that overlap, nothing
is concluded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from harness.history.operations import NO_VERSION
from harness.measure.asked import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from harness.history.samples import Samples


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer that told a version; `row` is its sample."""

    sent_s: float
    answered_s: float
    version: int
    row: int

    def __str__(self) -> str:
        times = f"sent at {self.sent_s:.3f} s and answered at {self.answered_s:.3f} s"
        return f"the request {times} (sample {self.row})"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoneBack:
    """What looking for such answers came to.

    Attributes:
        checked: Answers to somebody who knew a newer version than the item's oldest: they could have gone back.
        pairs: Each answer that did, in order of time, and the newest that was known before it was asked for.
    """

    checked: int
    pairs: tuple[tuple[Answer, Answer], ...]


def gone_back(
    samples: Samples,
    items: NDArray[np.int64],
    known_by: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    *,
    within_s: float = 0.0,
) -> GoneBack:
    """Look for answers that went back.

    Args:
        samples: All requests.
        items: What each asked for, as a number; `NOBODY` if that is not known.
        known_by: Who knew the answer, as a number.
        chosen: Which answers count; those without a version never do.
        within_s: For how long after an answer an older one is allowed.
    """
    records = samples.records
    rows = np.flatnonzero(chosen & (records["version"] > NO_VERSION) & (items != NOBODY) & (known_by != NOBODY))
    answered_s = records["intended_s"][rows] + records["latency_s"][rows]
    columns = (records["sent_s"][rows], answered_s, records["version"][rows], rows)
    answers = [Answer(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    oldest: dict[int, int] = {}
    groups: defaultdict[tuple[int, int], list[Answer]] = defaultdict(list)
    for answer, item, who in zip(answers, items[rows].tolist(), known_by[rows].tolist(), strict=True):
        oldest[item] = min(answer.version, oldest.get(item, answer.version))
        groups[item, who].append(answer)
    checked, pairs = 0, list[tuple[Answer, Answer]]()
    for (item, _), group in groups.items():
        for answer, newest in _with_what_was_known(group, within_s):
            checked += newest.version > oldest[item]
            if answer.version < newest.version:
                pairs.append((answer, newest))
    pairs.sort(key=lambda pair: (pair[0].answered_s, pair[0].row))
    return GoneBack(checked=checked, pairs=tuple(pairs))


def _with_what_was_known(answers: Sequence[Answer], within_s: float) -> Iterator[tuple[Answer, Answer]]:
    """Return each answer with the newest of those that had come longer before it was sent, where there is one."""
    ordered = sorted(answers, key=lambda answer: answer.answered_s)
    ends_s = [answer.answered_s for answer in ordered]
    newest = list(accumulate(ordered, _newer))
    for answer in ordered:
        ended = bisect_left(ends_s, answer.sent_s - within_s)
        if ended:
            yield answer, newest[ended - 1]


def _newer(one: Answer, other: Answer) -> Answer:
    return other if other.version > one.version else one
