"""One request under way, from its turn in the schedule to its line in the record."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Request:
    """One request under way.

    Attributes:
        intended_s: When it was meant to start, seconds since the origin.
        key: The item it asks for.
        is_write: Whether it writes.
        sent_s: When it did start; NaN while it has not.
    """

    intended_s: float
    key: int
    is_write: bool
    sent_s: float = math.nan
