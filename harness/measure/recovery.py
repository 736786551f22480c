"""How long it took until all was well again: from healing to the end of the last bad second.

A second is bad if the bare shares of its requests break any of the promises that held before the fault, or if nobody
asked in it. Recovery is measured to the last bad second, not to the first good one: a service that flickers has not
recovered.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.measure.ratios import count, is_kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.history.samples import Samples
    from harness.spec.objective import RatioObjective


def recovery_s(samples: Samples, promises: Sequence[RatioObjective], *, healed_s: float, until_s: float) -> float:
    """Return the seconds from `healed_s` to the end of the last bad second, 0.0 if none was bad.

    Args:
        samples: Requests of any time; only those meant to start in [healed_s, until_s) are looked at.
        promises: What a good second keeps.
        healed_s: When the fault was undone, seconds since the origin.
        until_s: When watching ended; a last part shorter than a second is not a second.
    """
    bad = [second for second in range(math.floor(until_s - healed_s)) if _is_bad(samples, promises, healed_s + second)]
    return float(bad[-1] + 1) if bad else 0.0


def _is_bad(samples: Samples, promises: Sequence[RatioObjective], began_s: float) -> bool:
    during = samples.between(began_s, began_s + 1)
    return not all(is_kept(promise, count(promise, during)) for promise in promises)
