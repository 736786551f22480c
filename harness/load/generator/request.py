"""One request under way, from its turn in the schedule to its line in the record."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True, eq=False)  # each is only itself, however alike two are
class Request:
    """One request under way.

    Attributes:
        intended_s: When it was meant to start, seconds since the origin.
        key: What it asks for of many like things; -1 if of none.
        operation: What it is called: the name of a declared request, or one that a locustfile gives.
        free_s: When the seat that it got became free: before it, or later, if all were taken.
        found_room: Whether a seat was free for it when its time came; if so, all of its delay is the generator's.
        sent_s: When it did start; NaN while it has not.
        is_arrival: Whether the schedule wanted it; not, if it follows another one in the same task.
        kind: Which of the load's requests it is, by its index.
        number: Which of the whole run's arrivals it is.
        patience_s: How long its client waits, from when it is sent; `PATIENT_S` for most.
        attempt: How often it was asked before.
    """

    intended_s: float
    key: int
    operation: str
    free_s: float = -math.inf
    found_room: bool = False
    sent_s: float = math.nan
    is_arrival: bool = True
    kind: int = 0
    number: int = -1
    patience_s: float = math.inf
    attempt: int = 0

    @property
    def is_impatient(self) -> bool:
        """Tell whether its client gives up early."""
        return self.patience_s < math.inf

    @property
    def wait_s(self) -> float:
        """Return how long it waited for a seat: the service held all of them, which is none of the generator's."""
        return 0.0 if self.found_room else max(0.0, self.free_s - self.intended_s)

    @property
    def lag_s(self) -> float:
        """Return how much later it started than it could have: the generator's own delay."""
        return self.sent_s - self.intended_s - self.wait_s
