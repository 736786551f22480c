"""Faults of the network: a target is a service (every edge into it), or one edge (`replica-1.redis`)."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from harness.spec.faults.target import SILENCE_S, Windowed
from harness.spec.quantity import ByteRate, Duration, Size, byte_rate_text, duration_text, size_text

SEEN_FROM_S, SEEN_FROM_RATIO = 0.005, 0.1
"""The least delay that is told from none: a dose may be seen 2 ms, or 5 % of it, short."""

ROUND_TRIPS = 3
"""How many are looked at; their median is the dose: one slow moment of a busy machine is not a wrong dose."""

TRANSFER_S = 1.0
"""How long a transfer through a narrow path may take: as much as passes in a tenth of it, and what comes along."""

REPLICA_RATE_MAX = 100_000
"""Bytes a second into a replica that are told from no fault, at the most: a transfer must take twice as long as without
one, and is made of small answers, one after the other. Of a bare ASGI application they come at 2 MB/s (measured
2026-11, two cores, uvicorn); one whose answer asks other servers is much slower."""

PIECES = 10
"""How many are looked at; the median of their sizes and pauses is the dose."""


class Down(Windowed):
    """Connections to the target are refused and open ones are cut, while its process lives on."""

    leaves_trace: ClassVar[bool] = False
    kind: Literal["down"]

    def __str__(self) -> str:
        return f"{self.target} down{self.when}"


class Latency(Windowed):
    """Every answer of the target arrives later.

    Attributes:
        delay: Added to each answer, in whole milliseconds.
        jitter: Uniform deviation around `delay`; so much less that the fault can still be seen.
    """

    leaves_trace: ClassVar[bool] = False
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
        _check_whole_milliseconds(self.delay, self.jitter)
        return self

    def __str__(self) -> str:
        deviation = f" ± {duration_text(self.jitter)}" if self.jitter else ""
        return f"{self.target} +{duration_text(self.delay)}{deviation}{self.when}"


class Blackhole(Windowed):
    """Connections to the target are accepted and stay open, and nothing passes, in either direction."""

    leaves_trace: ClassVar[bool] = False
    kind: Literal["blackhole"]

    @property
    def look_s(self) -> float:
        """Return how long silence is listened to."""
        return SILENCE_S

    def __str__(self) -> str:
        return f"{self.target} blackholed{self.when}"


class HalfOpen(Windowed):
    """Connections to the target are accepted and stay open, and nothing passes in one direction.

    Attributes:
        stream: Whose bytes are lost: `upstream` those of clients, so that nothing is done; `downstream` the answers, so
            that what was asked is done and no client knows.
    """

    kind: Literal["half-open"]
    stream: Literal["upstream", "downstream"]

    @property
    def look_s(self) -> float:
        """Return how long silence is listened to."""
        return SILENCE_S

    def __str__(self) -> str:
        lost = {"upstream": "hears", "downstream": "answers"}[self.stream]
        return f"{self.target} accepts and {lost} nothing{self.when}"


class Reset(Windowed):
    """What clients send to the target is lost, and their connections are reset (TCP RST).

    Attributes:
        after: From the first byte until the reset, in whole milliseconds; for a connection that was open before, from
            the beginning of the fault.
    """

    leaves_trace: ClassVar[bool] = False
    kind: Literal["reset"]
    after: Duration = Field(default=0.0, ge=0, le=60)

    @property
    def look_s(self) -> float:
        """Return how long the reset is waited for."""
        return self.after

    @model_validator(mode="after")
    def _can_be_done(self) -> Self:
        _check_whole_milliseconds(self.after)
        return self

    def __str__(self) -> str:
        after = f" after {duration_text(self.after)}" if self.after else ""
        return f"{self.target} resets{after}{self.when}"


class Bandwidth(Windowed):
    """Each connection gets its answers from the target at `rate`, one byte after the other.

    Attributes:
        rate: Of each connection for itself, a whole number of KB (1000 bytes) a second.
    """

    leaves_trace: ClassVar[bool] = False
    kind: Literal["bandwidth"]
    rate: ByteRate = Field(ge=1000, le=1_000_000)

    @property
    def look_s(self) -> float:
        """Return how long a transfer takes at most that is long enough to be timed."""
        return TRANSFER_S

    @model_validator(mode="after")
    def _can_be_done(self) -> Self:
        if self.rate % 1000:
            raise ValueError("the fault proxy knows whole KB/s only")
        return self

    def __str__(self) -> str:
        return f"{self.target} at {byte_rate_text(self.rate)}{self.when}"


class Slicer(Windowed):
    """Answers of the target arrive in small pieces, each a while after the one before.

    Attributes:
        size: The most that a piece has.
        delay: After each piece, in whole milliseconds.
    """

    leaves_trace: ClassVar[bool] = False
    kind: Literal["slicer"]
    size: Size = Field(ge=1, le=1000)
    delay: Duration = Field(ge=SEEN_FROM_S, le=10)

    @property
    def look_s(self) -> float:
        """Return how long a look listens: to twice what is looked at, in pieces of half the size at least."""
        return 4 * PIECES * self.delay

    @model_validator(mode="after")
    def _can_be_done(self) -> Self:
        _check_whole_milliseconds(self.delay)
        return self

    def __str__(self) -> str:
        return f"{self.target} answers in pieces of {size_text(self.size)} every {duration_text(self.delay)}{self.when}"


class LimitData(Windowed):
    """A connection ends when so much of the target's answers has passed, in the middle of one if need be.

    Attributes:
        size: What passes on each connection, counted from the fault's beginning.
    """

    leaves_trace: ClassVar[bool] = False
    kind: Literal["limit-data"]
    size: Size = Field(ge=1, le=50_000)

    def __str__(self) -> str:
        return f"{self.target} ends after {size_text(self.size)}{self.when}"


class ConnectBlackhole(Windowed):
    """Connects to the target time out, as towards a machine that is gone; open connections live on."""

    leaves_trace: ClassVar[bool] = False
    kind: Literal["connect-blackhole"]

    @property
    def look_s(self) -> float:
        """Return how long a connect is waited for."""
        return SILENCE_S

    def __str__(self) -> str:
        return f"{self.target} lets no connection in{self.when}"


class StaleConnections(Windowed):
    """Connections to the target that were open before fall silent, as behind a firewall that forgot them.

    New ones work.
    """

    kind: Literal["stale-connections"]

    @property
    def look_s(self) -> float:
        """Return how long silence is listened to."""
        return SILENCE_S

    def __str__(self) -> str:
        return f"{self.target} is silent on open connections{self.when}"


def _check_whole_milliseconds(*durations_s: float) -> None:
    if any(abs(seconds * 1000 - round(seconds * 1000)) > 1e-6 for seconds in durations_s):
        raise ValueError("the fault proxy knows whole milliseconds only")


NetworkFault = (
    Down
    | Latency
    | Blackhole
    | HalfOpen
    | Reset
    | Bandwidth
    | Slicer
    | LimitData
    | ConnectBlackhole
    | StaleConnections
)  # fmt: skip
