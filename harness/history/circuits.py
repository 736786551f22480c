"""What the circuit breakers of the judged service went through, as each replica told it of its own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CircuitState(StrEnum):
    """Where a circuit stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """One stretch of time in one state; it ends where the next one begins.

    Attributes:
        state: Which.
        began_s: When it began, seconds since the origin; below 0, if that was before the load.
        admitted: Calls let through in it that were not cancelled, count; None if that is not told.
        rest_s: How long a rest was chosen as it opened; None if that is not told, and in any other state.
    """

    state: CircuitState
    began_s: float
    admitted: int | None = None
    rest_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """The way of one circuit breaker in one process.

    Attributes:
        name: What the service calls it.
        forgotten: How many states came before those that are told, count.
        stays: Those, in order, the present one last.
    """

    name: str
    forgotten: int
    stays: tuple[Stay, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitReport:
    """What one replica told, when it was asked.

    Attributes:
        replica: Its name.
        asked_s: When, seconds since the origin.
        circuits: Each of its circuit breakers.
        error: Why it told nothing; empty if it did.
    """

    replica: str
    asked_s: float
    circuits: tuple[Circuit, ...] = ()
    error: str = ""
