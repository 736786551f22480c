"""Stopping early: only where a promise is broken beyond doubt, however often one looked before.

Looking again and again, and stopping at the first bad look, finds a service with 4.5 % slow requests guilty of more
than 5 % in 28 runs of a hundred (simulated 2026-11, a look each 1000 requests). The evidence below is a betting game
against the promise: a capital that a service which keeps it multiplies by 1000 in at most one run of a thousand, over
all moments at which one could look.

Source: Ville's inequality; a beta mixture as in Howard et al., Time-uniform, nonparametric, nonasymptotic confidence
sequences (2021), section 3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.spec.objective import RatioObjective

CAPITAL = 1000.0
"""With which a promise is given up: a good service is stopped in at most one run of a thousand."""

PRIOR_REQUESTS = 50.0
"""Weight of the bet's prior, which is centred on the limit: large enough that one early bad request is no ruin."""


def capital_log(events: float, total: float, limit: float) -> float:
    """Return the logarithm of the capital won against `share <= limit`.

    Args:
        events: Bad ones, in independent requests.
        total: Of so many.
        limit: In (0, 1).
    """
    a, b = PRIOR_REQUESTS * limit, PRIOR_REQUESTS * (1 - limit)
    won = _betaln(a + events, b + total - events) - _betaln(a, b)
    return won - events * math.log(limit) - (total - events) * math.log1p(-limit)


def is_hopeless(objective: RatioObjective, events: float, total: float) -> bool:
    """Tell whether `objective` is broken beyond doubt; see `CAPITAL`.

    Args:
        objective: The promise.
        events: What it counts, in independent requests.
        total: Of so many.
    """
    limit = objective.limit
    if objective.is_floor:
        events, limit = total - events, 1 - limit
    return events > limit * total and capital_log(events, total, limit) >= math.log(CAPITAL)


def _betaln(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
