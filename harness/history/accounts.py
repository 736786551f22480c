"""What became of what was accepted: a 202 promises something that only a later question can tell.

While the load is on, each acceptance is noted with the id that its answer gave (`Accepted`). When the last answers are
there, the service is asked what became of each, and how often it happened (`Account`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

ID_MAX = 200
"""Characters of an id; a longer one is none that could be asked for in a path."""


class Fate(StrEnum):
    """What became of something."""

    DONE = "done"
    DEAD = "dead"
    """It was given up, and is kept for somebody to look at: a dead letter."""
    PENDING = "pending"
    """It is to be done, or being done."""
    GONE = "gone"
    """The service knows of no such thing."""
    UNKNOWN = "unknown"
    """The service did not say."""


SETTLED = (Fate.DONE, Fate.DEAD)
"""What does not change any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """One answer that accepted something.

    Attributes:
        sample: Its row in the samples.
        number: Which of the run's arrivals its request was, for `{unique}`.
        id: What the answer calls it.
    """

    sample: int
    number: int
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What became of one accepted thing.

    Attributes:
        id: What the service calls it.
        samples: Rows of the answers that accepted it, in order: several, where submitting again is the same thing.
        fate: What became of it.
        state: The service's own word for that, when it was last asked.
        asked_s: When that was, seconds since the origin; None if it never said.
        effects: How often each of its effects has happened, in the order of their declaration; None if not told.
        took_s: How long it took to be done, in the service's own words, seconds; None if not told, or not done.
        amiss: What the service says of it, now that it is done or dead, that is not what it must say.
    """

    id: str
    samples: tuple[int, ...]
    fate: Fate
    state: str
    asked_s: float | None
    effects: tuple[int | None, ...]
    took_s: float | None = None
    amiss: tuple[str, ...] = ()
