"""What is promised: each objective is a bound on a share of requests or of seconds, or on a time to recover.

"p95 below 100 ms" is written as what it means: fewer than 5 % of requests slower than 100 ms. So one exact
statistic serves all ratios, and each maps onto an OpenSLO ratio metric.

What distinguishes one kind of promise from another stands here, as facts of its class and as what it counts. Every
other room asks for these facts and never for the kind; only what is judged or drawn in a way of its own is chosen by
kind, with a `match` that the type checker holds to be complete.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol, get_args

from pydantic import Field

from harness.spec.model import Model, is_unsaid
from harness.spec.quantity import Duration, Ratio, duration_text, percent_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

SETTLED_AFTER_S = 2.0
"""A recovery phase lasts at least this much longer than the time allowed, so that staying well can be seen."""


class Unit(StrEnum):
    """What a promise's limit, and the estimate beside it, are measured in."""

    RATIO = "ratio"
    SECONDS = "seconds"
    COUNT = "count"


class Requests(Protocol):
    """What an objective may ask of a table of requests; one answer for each row."""

    def is_ok(self) -> Mask:
        """Tell which ended well."""

    def is_answered(self) -> Mask:
        """Tell which got an answer, whatever it says."""

    def is_slower_than(self, over_s: float) -> Mask:
        """Tell which took longer, from their intended start."""

    @property
    def is_source_told(self) -> bool:
        """Tell whether any answer of the run named a source."""

    def came_from(self, *sources: str) -> Mask:
        """Tell which were answered by one of these sources."""


class OfPhase(Model):
    """What all promises about a share of a phase have in common, be it one of its requests or of its seconds.

    Attributes:
        during: The phase that it is about.
        after: What came earlier than this after the phase began is not counted, seconds.
    """

    is_statistical: ClassVar[bool] = True
    unit: ClassVar[Unit] = Unit.RATIO

    during: str = "baseline"
    after: Duration = Field(default=0.0, ge=0, le=3600, exclude_if=is_unsaid)

    @property
    def since(self) -> str:
        """Return ` after 2s` where not the whole phase is meant, or nothing."""
        return f" after {duration_text(self.after)}" if self.after else ""


class OfRequests(OfPhase):
    """What all promises about a share of requests have in common.

    Attributes:
        during: The phase whose requests are counted.
        after: Requests that were meant to start earlier than this after the phase began are not counted, seconds: what
            a fault does before it is noticed happens once, and a promise of its own says what may come of that.
    """

    def is_told(self, requests: Requests) -> bool:  # noqa: ARG002 - some kinds ask
        """Tell whether answers say what the promise is about; how they ended, and when, they always do."""
        return True


class Slow(OfRequests):
    """Bound the share of requests slower than `over`; failed, unfinished and unsent ones count as slow."""

    is_floor: ClassVar[bool] = False
    ideal: ClassVar[str] = "fast"

    sli: Literal["slow"]
    over: Duration = Field(gt=0, le=60)
    max: Ratio = Field(gt=0, lt=1)
    of: str | None = None

    @property
    def limit(self) -> float:
        """Return the bound, a ratio."""
        return self.max

    @property
    def bad_after_s(self) -> float | None:
        """Return after how long a request is bad whatever it answers, seconds."""
        return self.over

    @property
    def measured(self) -> str:
        """Return what is counted, in a word or two."""
        return f"{_whose(self.of)}slow"

    def counts(self, requests: Requests) -> Mask:
        """Tell which requests were slow."""
        return ~requests.is_ok() | requests.is_slower_than(self.over)

    def __str__(self) -> str:
        return f"{self.measured} (over {duration_text(self.over)}) < {percent_text(self.max)}{self.since}"


class Errors(OfRequests):
    """Bound the share of requests that did not end well: failed, unfinished or unsent."""

    is_floor: ClassVar[bool] = False
    ideal: ClassVar[str] = "error-free"

    sli: Literal["errors"]
    max: Ratio = Field(gt=0, lt=1)
    of: str | None = None

    @property
    def limit(self) -> float:
        """Return the bound, a ratio."""
        return self.max

    @property
    def bad_after_s(self) -> float | None:
        """Return None: how long a request takes does not matter."""
        return None

    @property
    def measured(self) -> str:
        """Return what is counted, in a word or two."""
        return f"{_whose(self.of)}errors"

    def counts(self, requests: Requests) -> Mask:
        """Tell which requests did not end well."""
        return ~requests.is_ok()

    def __str__(self) -> str:
        return f"{self.measured} < {percent_text(self.max)}{self.since}"


class Late(OfRequests):
    """Bound the share of requests that got no answer within `over`: a quick refusal is an answer, silence is none.

    Beside it stands a promise of what the answers say: of errors, or of requests that expect a refusal.
    """

    is_floor: ClassVar[bool] = False
    ideal: ClassVar[str] = "answered"

    sli: Literal["late"]
    over: Duration = Field(gt=0, le=60)
    max: Ratio = Field(gt=0, lt=1)
    of: str | None = None

    @property
    def limit(self) -> float:
        """Return the bound, a ratio."""
        return self.max

    @property
    def bad_after_s(self) -> float | None:
        """Return after how long a request is bad whatever it answers, seconds."""
        return self.over

    @property
    def measured(self) -> str:
        """Return what is counted, in a word or two."""
        return f"{_whose(self.of)}late"

    def counts(self, requests: Requests) -> Mask:
        """Tell which requests got no answer in time."""
        return ~requests.is_answered() | requests.is_slower_than(self.over)

    def __str__(self) -> str:
        return f"{self.measured} (no answer in {duration_text(self.over)}) < {percent_text(self.max)}{self.since}"


class Hits(OfRequests):
    """Bound from below the share of requests that a cache level answered; one without an answer is a miss.

    Attributes:
        of: Names of requests; where nothing is said, of those that a cache may answer (`answered_from`).
        levels: Values of the cache's header that are hits; where nothing is said, those that readiness.toml declares.
    """

    is_floor: ClassVar[bool] = True
    ideal: ClassVar[str] = "hitting"

    sli: Literal["hits"]
    min: Ratio = Field(gt=0, lt=1)
    of: str | tuple[str, ...] | None = None
    levels: tuple[str, ...] = ()

    @property
    def limit(self) -> float:
        """Return the bound, a ratio."""
        return self.min

    @property
    def bad_after_s(self) -> float | None:
        """Return None: how long a request takes does not matter."""
        return None

    @property
    def measured(self) -> str:
        """Return what is counted; only reads can hit, so they are not named."""
        return "hits"

    def counts(self, requests: Requests) -> Mask:
        """Tell which requests a cache level answered."""
        return requests.is_ok() & requests.came_from(*self.levels)

    def is_told(self, requests: Requests) -> bool:
        """Tell whether answers say where they came from: of a service that never does, none is a miss."""
        return requests.is_source_told

    def answered_from(self, levels: tuple[str, ...], of: tuple[str, ...]) -> Hits:
        """Return the same with everything said: what its service declares, where it says nothing itself."""
        asked = self.of or (of[0] if len(of) == 1 else of) or None
        return self.model_copy(update={"levels": self.levels or levels, "of": asked})

    def __str__(self) -> str:
        return f"hits > {percent_text(self.min)}{self.since}"


class Processor(OfPhase):
    """Bound the share of seconds in which the replicas used more processor time than `over` for each answer.

    What they did beside the requests counts as well: it is what a request costs on a machine that is full. Linux only,
    and of what the run has started.

    Attributes:
        over: The budget: processor time of all replicas together, for each answer that came in the second, whatever it
            says.
        max: Of the seconds, the share that may be over the budget.
    """

    is_floor: ClassVar[bool] = False
    ideal: ClassVar[str] = "cheap"

    sli: Literal["processor"]
    over: Duration = Field(gt=0, le=60)
    max: Ratio = Field(gt=0, lt=1)

    @property
    def limit(self) -> float:
        """Return the bound, a ratio."""
        return self.max

    @property
    def measured(self) -> str:
        """Return what is counted, in a word or two."""
        return "processor"

    def __str__(self) -> str:
        return f"{self.measured} (over {duration_text(self.over)} an answer) < {percent_text(self.max)}{self.since}"


class Recovery(Model):
    """Bound the time from healing to the end of the last bad second, under unchanged load."""

    is_floor: ClassVar[bool] = False
    is_statistical: ClassVar[bool] = False
    unit: ClassVar[Unit] = Unit.SECONDS

    sli: Literal["recovery"]
    within: Duration = Field(gt=0, le=3600)
    during: str = "recovery"

    @property
    def limit(self) -> float:
        """Return the bound, seconds."""
        return self.within

    @property
    def needs_s(self) -> float:
        """Return how long its phase must last, so that staying well is seen."""
        return self.within + SETTLED_AFTER_S

    def __str__(self) -> str:
        return f"recovery < {duration_text(self.within)}"


RatioObjective = Slow | Errors | Late | Hits
"""A promise about a share of requests: bounds decide, and chance has its part in them.

Its class says, beside the facts below, what a request is called that keeps it (`ideal`), and which requests count
towards the share (`counts`).
"""

ShareObjective = RatioObjective | Processor
"""A promise about a share of anything: of requests, or of seconds. Bounds decide, and chance has its part in them."""

Objective = Annotated[ShareObjective | Recovery, Field(discriminator="sli")]
"""Any promise that a scenario may hold a service to; `sli` says which it is.

The class of each says:
    is_floor: What is counted is good, so the promise is kept above its limit, not below.
    is_statistical: Chance has a part in its verdict, so it counts in the family of claims that may fail by chance.
    unit: What its limit is measured in.
"""

KINDS: Mapping[str, type[Objective]] = {
    get_args(kind.model_fields["sli"].annotation)[0]: kind for kind in get_args(get_args(Objective)[0])
}
"""Every kind by its word in a file, which is also what a claim is filed under."""


def ratios_of(objectives: Iterable[Objective]) -> tuple[RatioObjective, ...]:
    """Return those that bound a share of requests."""
    return tuple(each for each in objectives if isinstance(each, RatioObjective))


def shares_of(objectives: Iterable[Objective]) -> tuple[ShareObjective, ...]:
    """Return those that bound a share, of requests or of seconds."""
    return tuple(each for each in objectives if isinstance(each, ShareObjective))


def processors_of(objectives: Iterable[Objective]) -> tuple[Processor, ...]:
    """Return those that bound processor time."""
    return tuple(each for each in objectives if isinstance(each, Processor))


def recoveries_of(objectives: Iterable[Objective]) -> tuple[Recovery, ...]:
    """Return those that bound a time to recover."""
    return tuple(each for each in objectives if isinstance(each, Recovery))


def first_hits(objectives: Iterable[Objective]) -> Hits | None:
    """Return the first that says what a hit is; None if none does."""
    return next((each for each in objectives if isinstance(each, Hits)), None)


def tightest_s(objectives: Iterable[Objective]) -> float | None:
    """Return the shortest time that an objective calls slow; None if none speaks of time."""
    times_s = [each.bad_after_s for each in ratios_of(objectives)]
    return min((time_s for time_s in times_s if time_s is not None), default=None)


def usual_phase(objective: Objective) -> str:
    """Return the phase that such a promise is about where it names none."""
    return str(type(objective).model_fields["during"].default)


def _whose(operation: str | None) -> str:
    return f"{operation} " if operation else ""
