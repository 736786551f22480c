"""Faults of the load: what its clients do, laid into its schedule before the run; see `load/traffic.py`.

They hit no part of the stack, so they name no target: all that a client can do, it does to the service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from harness.spec.faults.target import Window
from harness.spec.model import Model
from harness.spec.quantity import Rate, rate_text
from harness.spec.schedule import PER_S_MAX

if TYPE_CHECKING:
    from collections.abc import Collection

    from harness.spec.load import Load

TIMES_MAX = 1000.0


class OfTheLoad(Window):
    """What every fault of the load has in common: it hits nothing that has a name, and nothing of it has to be undone.

    Its dose is counted when every request is accounted for: what is under way while it is there cannot be counted yet.
    """

    target: ClassVar[str] = ""
    needs_looks: ClassVar[bool] = False


class Spike(OfTheLoad):
    """More clients come: arrivals are `times` as many as the schedule has, or come at `rate`.

    Attributes:
        times: Of the schedule's own rate, however that changes.
        rate: Arrivals a second over all kinds of requests, more than the schedule has. One of the two.
    """

    kind: Literal["spike"]
    times: float | None = Field(default=None, gt=1, le=TIMES_MAX)
    rate: Rate | None = Field(default=None, gt=0, le=PER_S_MAX)

    def expected(self, load: Load, began_s: float, ended_s: float) -> float:
        """Return how many requests to expect in [began_s, ended_s), seconds since the origin, while it is there."""
        return self.rate * (ended_s - began_s) if self.rate else (self.times or 1.0) * load.expected(began_s, ended_s)

    def peak_per_s(self, load: Load, began_s: float, ended_s: float) -> float:
        """Return the highest rate of arrivals in it while it is there."""
        return self.rate or (self.times or 1.0) * load.peak_between(began_s, ended_s)

    def more(self, load: Load, began_s: float, ended_s: float, names: Collection[str] = ()) -> float:
        """Return how many more requests it makes of [began_s, ended_s), on average; of `names`, where there are any."""
        more = self.expected(load, began_s, ended_s) - load.expected(began_s, ended_s)
        return more * load.share_of(names) if names else more

    @model_validator(mode="after")
    def _says_how_many_once(self) -> Self:
        if (self.times is None) == (self.rate is None):
            raise ValueError("a spike says how high it is by `times` or by `rate`; give one of the two")
        return self

    def __str__(self) -> str:
        return f"load {f'at {rate_text(self.rate)}' if self.rate else f'×{self.times:g}'}{self.when}"


TrafficFault = Spike


class TrafficWindow(Model):
    """A fault of the load, and when it is there.

    Attributes:
        id: `fault-1`, `fault-2`, …: see `timeline.Scheduled`.
        starts_s: When it begins, seconds since the origin.
        ends_s: When it is over.
        fault: What it is.
    """

    id: str
    starts_s: float
    ends_s: float
    fault: TrafficFault

    @property
    def lasts_s(self) -> float:
        """Return how long it is there, in seconds."""
        return self.ends_s - self.starts_s
