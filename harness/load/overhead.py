"""What a generator adds by itself, from the latencies that it saw at a server that does nothing; without Locust."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

WINDOWS = 3
"""The answers are cut into these, and the median of their p95 counts. One stop of the machine, shorter than a window,
is not what the generator adds; on idle cores such a stop made 5.1 ms of 1.4 to 2.1 (2026-11). What the machine does
while the load is on, the control sees."""


MEASURED_AT_MOST = 3
"""Times; what a busy moment adds is gone a second later, and what three seconds in a row add stays."""


def measured_until(measure: Callable[[], float], below_s: float | None) -> float:
    """Measure once, and up to twice more while what is found is too much; return what was found last, in seconds.

    Args:
        measure: Returns what the generator adds by itself, in seconds.
        below_s: What it must be less than for the load to prove anything; None for anything.
    """
    found_s = measure()
    for _ in range(MEASURED_AT_MOST - 1):
        if below_s is None or found_s < below_s:
            break
        found_s = measure()
    return found_s


def usual_p95_s(latencies_s: NDArray[np.float64]) -> float:
    """Return the median, over windows, of the latency that 95 % of a window stayed within, in seconds.

    Args:
        latencies_s: At least one, in the order of their intended starts.
    """
    windows = [window for window in np.array_split(latencies_s, WINDOWS) if len(window)]
    return float(np.median([np.quantile(window, 0.95) for window in windows]))
