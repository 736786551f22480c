"""Faults of the network: a target is a service (every edge into it), or one edge (`replica-1.redis`)."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from harness.spec.faults.target import SILENCE_S, Windowed
from harness.spec.quantity import Duration, duration_text

SEEN_FROM_S, SEEN_FROM_RATIO = 0.005, 0.1
"""The least delay that is told from none: a dose may be seen 2 ms, or 5 % of it, short."""

ROUND_TRIPS = 3
"""How many are looked at; their median is the dose: one slow moment of a busy machine is not a wrong dose."""


class Down(Windowed):
    """Connections to the target are refused and open ones are cut, while its process lives on."""

    kind: Literal["down"]

    def __str__(self) -> str:
        return f"{self.target} down{self.when}"


class Latency(Windowed):
    """Every answer of the target arrives later.

    Attributes:
        delay: Added to each answer, in whole milliseconds.
        jitter: Uniform deviation around `delay`; so much less that the fault can still be seen.
    """

    kind: Literal["latency"]
    delay: Duration = Field(gt=0, le=60)
    jitter: Duration = Field(default=0.0, ge=0, le=60)

    @property
    def look_s(self) -> float:
        """Return how long one look takes: its round trips through the edge."""
        return ROUND_TRIPS * (self.delay + self.jitter)

    @model_validator(mode="after")
    def _can_be_seen(self) -> Self:
        least_s, needed_s = self.delay - self.jitter, max(SEEN_FROM_S, SEEN_FROM_RATIO * self.delay)
        if least_s < needed_s - 1e-9:
            raise ValueError(
                f"`{self}` may be {duration_text(max(0.0, least_s))}, which cannot be told from no fault; "
                f"delay less jitter must be {duration_text(needed_s)}"
            )
        if any(abs(seconds * 1000 - round(seconds * 1000)) > 1e-6 for seconds in (self.delay, self.jitter)):
            raise ValueError("the fault proxy knows whole milliseconds only")
        return self

    def __str__(self) -> str:
        deviation = f" ± {duration_text(self.jitter)}" if self.jitter else ""
        return f"{self.target} +{duration_text(self.delay)}{deviation}{self.when}"


class Blackhole(Windowed):
    """Connections to the target are accepted and stay open, and nothing passes, in either direction."""

    kind: Literal["blackhole"]

    @property
    def look_s(self) -> float:
        """Return how long silence is listened to."""
        return SILENCE_S

    def __str__(self) -> str:
        return f"{self.target} blackholed{self.when}"


NetworkFault = Down | Latency | Blackhole
