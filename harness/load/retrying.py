"""Which requests their clients ask again, when, and how long they wait for an answer before they do.

Pure. It cannot be laid into the schedule beforehand: what is asked again is what the service did not answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.spec.faults import Retries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.spec.faults.traffic import TrafficWindow
    from harness.spec.load import Load


@dataclass(frozen=True, slots=True)
class _Rule:
    """One fault, while it is there.

    Attributes:
        starts_s: When it begins, seconds since the origin.
        ends_s: When it is over.
        fault: What clients do.
        kinds: The requests that they ask again, by their index.
    """

    starts_s: float
    ends_s: float
    fault: Retries
    kinds: frozenset[int]

    def holds(self, kind: int, at_s: float) -> bool:
        return kind in self.kinds and self.starts_s <= at_s < self.ends_s


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What clients ask again in a run.

    Attributes:
        rules: Those of each fault; no two hold at the same time.
    """

    rules: tuple[_Rule, ...]

    def limit_s(self, kind: int, sent_s: float) -> float:
        """Return how long the client of a request sent at this moment waits for its answer; infinite for any time."""
        after_s = next((rule.fault.after for rule in self.rules if rule.holds(kind, sent_s)), None)
        return math.inf if after_s is None else after_s

    def again_s(self, kind: int, attempt: int, failed_s: float) -> float | None:
        """Return when a request is asked again that failed at this moment; None if it is not.

        Args:
            kind: Which of the load's requests it is, by its index.
            attempt: How often it was asked before.
            failed_s: Seconds since the origin.
        """
        fault = next((rule.fault for rule in self.rules if rule.holds(kind, failed_s)), None)
        if fault is None or attempt >= fault.times:
            return None
        return failed_s + fault.wait_s(attempt + 1)


def policy_of(traffic: Sequence[TrafficWindow], load: Load) -> RetryPolicy | None:
    """Return what clients ask again; None where no fault has them do so."""
    rules = tuple(
        _Rule(window.starts_s, window.ends_s, window.fault, asked_again(window.fault, load))
        for window in traffic
        if isinstance(window.fault, Retries)
    )
    return RetryPolicy(rules) if rules else None


def asked_again(fault: Retries, load: Load) -> frozenset[int]:
    """Return the requests that are asked again, by their index."""
    return frozenset(index for index, request in enumerate(load.asked) if fault.repeats(request))
