"""A service that is simply gone: no estimate of anything is needed to see that.

What hangs together for a whole phase is worth few independent requests, so bounds alone would call a service that hung
until the end `inconclusive`. Whole seconds in a row in which most requests are bad are not bad luck.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from harness.history.marks import PhaseMark
    from harness.history.samples import Samples
    from harness.spec.objective import RatioObjective

MOSTLY = 0.5
"""Share of a second's requests that must be bad."""


def longest_outage_s(objective: RatioObjective, considered: Samples, mark: PhaseMark) -> int:
    """Return the most whole seconds in a row of which at least half of the requests were bad; 0 if there is none.

    Args:
        objective: What makes a request bad; what it counts is bad, so it is no floor.
        considered: The requests that it is about, all of the phase `mark`.
        mark: The phase; its seconds are counted from where it begins.
    """
    second = (considered.records["intended_s"] - mark.began_s).astype(np.int64)
    seconds = int(mark.lasted_s)
    total = np.bincount(second, minlength=seconds)[:seconds]
    bad = np.bincount(second[objective.counts(considered)], minlength=seconds)[:seconds]
    is_out = (total > 0) & (bad >= MOSTLY * total)
    return max((len(list(run)) for out, run in groupby(is_out.tolist()) if out), default=0)
