"""Faults of the load: what its clients do, laid into its schedule before the run; see `load/traffic.py`.

They hit no part of the stack, so they name no target: all that a client can do, it does to the service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from harness.spec.faults.target import Window
from harness.spec.model import Model
from harness.spec.quantity import (
    ByteRate,
    Duration,
    Rate,
    Ratio,
    byte_rate_text,
    duration_text,
    percent_text,
    rate_text,
)
from harness.spec.schedule import PER_S_MAX

if TYPE_CHECKING:
    from collections.abc import Collection

    from harness.spec.load import Load
    from harness.spec.requests import DeclaredRequest

TIMES_MAX = 1000.0

RETRIES_MAX = 10
"""Clients with more patience than that are none that anybody has seen, and three multiply a load by four."""

CONNECTIONS_MAX = 800
"""With 1024 descriptors, which is what most systems grant, the generator has some 200 for everything else."""

BYTES_MAX_PER_S = 100_000
"""Who is faster than that is no slow client: at that rate a page of a megabyte takes ten seconds."""

PATIENCE_MIN_S = 0.001
"""The generator's timers count in milliseconds (libev)."""

PATIENCE_MAX_S = 5.0
"""The generator itself waits for no answer longer (`load.plan.ANSWER_WITHIN_S`), so giving up later is no fault."""


class OfTheLoad(Window):
    """What every fault of the load has in common: it hits nothing that has a name, and nothing of it has to be undone.

    Its dose is counted when every request is accounted for: what is under way while it is there cannot be counted yet.
    """

    target: ClassVar[str] = ""
    needs_looks: ClassVar[bool] = False

    def peak_per_s(self, load: Load, began_s: float, ended_s: float) -> float:
        """Return the highest rate of arrivals in it while it is there: the schedule's own, where it adds none."""
        return load.peak_between(began_s, ended_s)

    def more(self, load: Load, began_s: float, ended_s: float, names: Collection[str] = ()) -> float:  # noqa: ARG002 - those that add some ask for it
        """Return how many more requests it makes of [began_s, ended_s), on average; of `names`, where there are any."""
        return 0.0

    def unjudged(self, load: Load, began_s: float, ended_s: float, names: Collection[str] = ()) -> float:  # noqa: ARG002 - as above
        """Return about how many requests of [began_s, ended_s) it keeps out of promises; of `names`, as above."""
        return 0.0


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


class GreedyClient(OfTheLoad):
    """One client asks more than its share, beside all the others: what it asks has a name, and is judged by it.

    Attributes:
        asks: The name of a declared request, which says who asks: with a header of its own, say. One of weight 0 is
            asked by nobody else.
        rate: How often it asks, beside the schedule.
    """

    kind: Literal["greedy-client"]
    asks: str = Field(min_length=1)
    rate: Rate = Field(gt=0, le=PER_S_MAX)

    def peak_per_s(self, load: Load, began_s: float, ended_s: float) -> float:
        """Return the highest rate of arrivals in it while it is there."""
        return self.rate + load.peak_between(began_s, ended_s)

    def more(self, load: Load, began_s: float, ended_s: float, names: Collection[str] = ()) -> float:  # noqa: ARG002 - whatever the schedule has
        """Return how many more requests it makes of [began_s, ended_s), on average; of `names`, where there are any."""
        return self.rate * (ended_s - began_s) if not names or self.asks in names else 0.0

    def __str__(self) -> str:
        return f"{self.asks} at {rate_text(self.rate)} by one client{self.when}"


class HotKey(OfTheLoad):
    """Of many like things one is asked for by nearly everybody.

    Attributes:
        share: Of the requests that ask for a key, those that ask for this one; the seed chooses which it is, one of
            each range of keys.
    """

    kind: Literal["hot-key"]
    share: Ratio = Field(gt=0, le=1)

    def __str__(self) -> str:
        return f"{percent_text(self.share)} of requests for one key{self.when}"


class Cancellations(OfTheLoad):
    """Clients that give up: a share of them waits no longer than `after`, and closes the connection.

    A request that was given up is neither a success nor an error of the service. Promises are about the other clients
    alone, whatever became of these: of the impatient only quick answers are seen, and a slow service would look fast.

    Attributes:
        share: Of all requests, those whose clients give up; the seed chooses which.
        after: From when it was sent, until its client gives it up.
    """

    kind: Literal["cancellations"]
    share: Ratio = Field(gt=0, le=1)
    after: Duration = Field(ge=PATIENCE_MIN_S, lt=PATIENCE_MAX_S)

    def unjudged(self, load: Load, began_s: float, ended_s: float, names: Collection[str] = ()) -> float:
        """Return about how many requests of [began_s, ended_s) it keeps out of promises; of `names`, where any are."""
        return self.share * load.expected(began_s, ended_s) * (load.share_of(names) if names else 1.0)

    def __str__(self) -> str:
        return f"{percent_text(self.share)} of clients give up after {duration_text(self.after)}{self.when}"


class Retries(OfTheLoad):
    """Clients that ask again: a request that fails while it is there comes again, on top of all that the schedule has.

    What is asked again is the same request, with the same `{unique}` in it. It counts for no promise: it comes when the
    service is unwell, and would count the same bad moment several times. What it does to those that the schedule asks
    is what counts.

    Attributes:
        times: How often one request is asked again at most.
        after: A request that has no answer so long after it was sent has failed, and its client closes the connection;
            where nothing is said, clients wait as they do without the fault.
        wait: From a failure until the request is asked again; twice as long before each time after the first.
        of: Names of the requests that are asked again, whatever they are; where nothing is said, those whose method is
            idempotent, which are the ones that a client may repeat by itself (RFC 9110, section 9.2.2).
    """

    kind: Literal["retries"]
    times: int = Field(ge=1, le=RETRIES_MAX)
    after: Duration | None = Field(default=None, ge=PATIENCE_MIN_S, lt=PATIENCE_MAX_S)
    wait: Duration = Field(default=0.0, ge=0, le=60)
    of: tuple[str, ...] = ()

    def peak_per_s(self, load: Load, began_s: float, ended_s: float) -> float:
        """Return the highest rate of arrivals in it while it is there: where every request fails each time."""
        return (1 + self.times) * load.peak_between(began_s, ended_s)

    def repeats(self, request: DeclaredRequest) -> bool:
        """Tell whether a request is asked again if it fails."""
        return request.name in self.of if self.of else request.is_idempotent

    def wait_s(self, attempt: int) -> float:
        """Return how long before the `attempt`-th time that a request is asked again its client waits, from 1 on."""
        return self.wait * 2.0 ** (attempt - 1)

    def __str__(self) -> str:
        late = f" or take over {duration_text(self.after)}" if self.after else ""
        wait = f", {duration_text(self.wait)} later" if self.wait else ""
        return f"{', '.join(self.of) or 'requests'} that fail{late} are asked {self.times}× again{wait}{self.when}"


class SlowReaders(OfTheLoad):
    """Clients on a bad line, or that mean ill: each holds a connection beside the load, and lets few bytes pass on it.

    They are no requests of the schedule, and no promise is about them: what they do to the others is what counts.

    Attributes:
        connections: How many are held, for as long as it is there; one that the service ends is opened anew.
        rate: What passes on each, bytes a second.
        asks: The name of a declared request, which each asks again and again; one of weight 0 is asked by nobody else.
        stream: `downstream`: they take their answers so slowly (and have room for 2 KB that they have not read);
            `upstream`: they say their requests so slowly.
    """

    kind: Literal["slow-readers"]
    connections: int = Field(ge=1, le=CONNECTIONS_MAX)
    rate: ByteRate = Field(gt=0, le=BYTES_MAX_PER_S)
    asks: str = Field(min_length=1)
    stream: Literal["upstream", "downstream"] = "downstream"

    @property
    def least_s(self) -> float:
        """Return how long it must be there, or its dose cannot be seen: they come in a second, and then one is told."""
        return 4.0

    def __str__(self) -> str:
        how = "say" if self.stream == "upstream" else "read the answers of"
        return f"{self.connections} connections {how} {self.asks} at {byte_rate_text(self.rate)} each{self.when}"


TrafficFault = Spike | GreedyClient | HotKey | Cancellations | Retries | SlowReaders


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
    fault: Annotated[TrafficFault, Field(discriminator="kind")]

    @property
    def lasts_s(self) -> float:
        """Return how long it is there, in seconds."""
        return self.ends_s - self.starts_s
