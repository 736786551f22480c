"""What failed, and how: by phase, by request and by what was answered, so that a reader sees it without a query.

Promises count failures; they do not tell a 503 from a connection that was refused. And where nothing is promised of a
phase, its failures are in no claim at all: that is said beside them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.history.samples import SampleOutcome
from harness.spec.objective import ratios_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.history.history import History
    from harness.history.samples import Samples
    from harness.spec.scenario import Scenario

KINDS_MAX = 12
"""Rows of one phase: more ways to fail are one trouble, and `samples.parquet` has them all."""

_SUCCESS = range(200, 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """Requests of one name that failed in one way.

    Attributes:
        phase: In which.
        request: Their name; empty if they have none.
        how: In words.
        count: How many.
        total: Of how many of that name in the phase.
        is_promised: Whether anything is promised of the requests of that phase.
    """

    phase: str
    request: str
    how: str
    count: int
    total: int
    is_promised: bool


def what_failed(scenario: Scenario, history: History) -> tuple[Failing, ...]:
    """Return what failed, phase by phase, the most frequent first; what clients gave up is no failure."""
    promised = {objective.during for objective in ratios_of(scenario.objectives)}
    names = dict.fromkeys(mark.name for mark in history.phases)
    return tuple(each for name in names for each in _in_phase(name, history.during(name), is_promised=name in promised))


def _in_phase(phase: str, samples: Samples, *, is_promised: bool) -> Iterator[Failing]:
    records = samples.records
    totals = Counter(records["operation"].tolist())
    has_failed = ~np.isin(records["outcome"], [SampleOutcome.OK, SampleOutcome.CANCELLED])
    failed = records[has_failed][["operation", "outcome", "status"]]
    for (operation, outcome, status), count in Counter(failed.tolist()).most_common(KINDS_MAX):
        yield Failing(
            phase=phase,
            request=samples.operations[operation],
            how=_how(SampleOutcome(outcome), status),
            count=count,
            total=totals[operation],
            is_promised=is_promised,
        )


def _how(outcome: SampleOutcome, status: int) -> str:
    match outcome:
        case SampleOutcome.NOT_SENT:
            return "never sent: no seat was free"
        case SampleOutcome.UNFINISHED:
            return "no answer by the end"
    if not status:
        return "no answer: refused, broken off, or too late"
    if status in _SUCCESS:
        return f"{status}, but not whole, or not as it should be"
    return str(status)
