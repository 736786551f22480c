"""What a generator adds by itself, from the latencies that it saw at a server that does nothing; without Locust."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOWS = 3
"""The answers are cut into these, and the median of their p95 counts. One stop of the machine, shorter than a window,
is not what the generator adds; on idle cores such a stop made 5.1 ms of 1.4 to 2.1 (2026-11). What the machine does
while the load is on, the control sees."""


def usual_p95_s(latencies_s: NDArray[np.float64]) -> float:
    """Return the median, over windows, of the latency that 95 % of a window stayed within, in seconds.

    Args:
        latencies_s: At least one, in the order of their intended starts.
    """
    windows = [window for window in np.array_split(latencies_s, WINDOWS) if len(window)]
    return float(np.median([np.quantile(window, 0.95) for window in windows]))
