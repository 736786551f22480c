"""What must never happen: an invariant is broken by one counterexample, however many requests kept it.

No share is estimated, so nothing here is a matter of chance: an invariant holds for all that was seen, or one case
shows that it does not, or nothing was seen that could have broken it, which proves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from harness.spec.model import Model, is_unsaid
from harness.spec.objective import KINDS, Objective, Unit
from harness.spec.quantity import Duration, Ratio, duration_text, percent_text
from harness.spec.requests import HeaderName, is_of_one_request, placeholders_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.spec.requests import DeclaredRequest, ResponseHeaders


class Absolute(Model):
    """What all invariants share: one case is too many.

    Attributes:
        remembers: Whether it needs what requests wrote and read (`history.operations`), which takes time of the load
            generator; else the samples alone tell.
        compares_echoes: Whether it needs to know whose answers requests got (`history.echoes`), which does as well.
        traces_breakers: Whether replicas must be asked what their circuit breakers did (`history.circuits`).
        settles_within_s: For how long, after the last answers, it is asked what became of what was only accepted; not
            at all, if it is 0.
    """

    is_floor: ClassVar[bool] = False
    is_statistical: ClassVar[bool] = False
    unit: ClassVar[Unit] = Unit.COUNT
    remembers: ClassVar[bool] = False
    compares_echoes: ClassVar[bool] = False
    traces_breakers: ClassVar[bool] = False

    kind: str

    @property
    def settles_within_s(self) -> float:
        """Return 0: most of them ask nothing when the load is over."""
        return 0.0

    def missing(self, requests: Sequence[DeclaredRequest], told: ResponseHeaders) -> tuple[str, str] | None:
        """Return why no request of a load could break it, and how to fix that; None if one could.

        Args:
            requests: What is asked; empty where a locustfile asks.
            told: What the headers of an answer tell.
        """
        del requests, told  # each kind that needs something of them says so
        return None

    def __str__(self) -> str:
        return self.kind


class NoAcknowledgedWriteLost(Absolute):
    """Every read sees each write that was acknowledged `within` before it, or a later one, and no value but those.

    Attributes:
        within: The staleness that the service promises: how long after a write's acknowledgement a read may still
            answer with what it replaced. Nothing, unless it is said.
        stale_from: Sources (values of the header `cache`) whose answers say themselves that they are outdated, as a
            cache's does in place of an error: they must be a value that was written, whatever its age.
        rpo: The recovery point objective: how old a write may be that a fault takes, from its acknowledgement to the
            beginning of the fault, or to its end if it came while the fault was there. Such a loss is allowed, and
            told; one without a fault never is.
    """

    remembers: ClassVar[bool] = True

    kind: Literal["no-acknowledged-write-lost"]
    within: Duration = Field(default=0.0, ge=0, le=3600)
    stale_from: tuple[str, ...] = ()
    rpo: Duration | None = Field(default=None, gt=0, le=86_400, exclude_if=is_unsaid)

    def missing(self, requests: Sequence[DeclaredRequest], told: ResponseHeaders) -> tuple[str, str] | None:
        """Ask for values that are written, and for some that are read."""
        del told
        return _no_values(requests)

    def __str__(self) -> str:
        allowed = {"within": self.within, "rpo": self.rpo}
        said = ", ".join(f"{name} {duration_text(each)}" for name, each in allowed.items() if each)
        return f"{self.kind} ({said})" if said else self.kind


class VersionsOnlyGrow(Absolute):
    """No version is given to two values of an item, and no replica answers with an older one than it did before.

    Attributes:
        within: The staleness that the service promises: how long after an answer a replica may give an older one.
            Nothing, unless it is said; a version is given once all the same.
        stale_from: Sources whose answers say themselves that they are outdated: they may go back.
        by: Request headers that say whose item is asked for, beside its path, such as a tenant's name.
    """

    remembers: ClassVar[bool] = True

    kind: Literal["versions-only-grow"]
    within: Duration = Field(default=0.0, ge=0, le=3600, exclude_if=is_unsaid)
    stale_from: tuple[str, ...] = ()
    by: tuple[HeaderName, ...] = ()

    def missing(self, requests: Sequence[DeclaredRequest], told: ResponseHeaders) -> tuple[str, str] | None:
        """Ask for answers that tell a version, and for items of which it is known which they are."""
        return _no_versions(told) or _no_items(requests)

    def __str__(self) -> str:
        return f"{self.kind} (within {duration_text(self.within)})" if self.within else self.kind


class LimiterNeverOverAdmits(Absolute):
    """In no stretch of time are more requests of one client admitted than its bucket holds and is refilled meanwhile.

    Attributes:
        rate_per_s: How many requests a second a client may make.
        burst: How many at once, after a pause. Where a limiter falls back from one store to another, each has a bucket
            of its own: then it is what they hold together.
        by: Request headers that say whose bucket pays. A request that has none of them is no client's.
        refused_with: Statuses by which the limiter refuses.
    """

    kind: Literal["limiter-never-over-admits"]
    rate_per_s: float = Field(gt=0, le=1_000_000)
    burst: float = Field(ge=1, le=1_000_000)
    by: tuple[HeaderName, ...] = Field(min_length=1)
    refused_with: tuple[Annotated[int, Field(ge=400, le=599)], ...] = (429,)

    def missing(self, requests: Sequence[DeclaredRequest], told: ResponseHeaders) -> tuple[str, str] | None:
        """Ask for clients that can be told apart."""
        del told
        return _no_clients(requests, self.by)

    def __str__(self) -> str:
        return f"{self.kind} ({self.rate_per_s:g}/s, burst {self.burst:g})"


class MonotonicReads(Absolute):
    """No client reads an older version of an item than it has read before, on whichever replica.

    Attributes:
        by: Request headers that say who a client is. A request that has none of them is no client's.
        stale_from: Sources whose answers say themselves that they are outdated: they may go back.
    """

    kind: Literal["monotonic-reads"]
    by: tuple[HeaderName, ...] = Field(min_length=1)
    stale_from: tuple[str, ...] = ()

    def missing(self, requests: Sequence[DeclaredRequest], told: ResponseHeaders) -> tuple[str, str] | None:
        """Ask for answers that tell a version, and for clients that can be told apart."""
        return _no_versions(told) or _no_clients([each for each in requests if each.may_be_cached], self.by)


class ResponsesBelongToRequests(Absolute):
    """Every answer is that of its request: no answer is another key's, or another tenant's."""

    compares_echoes: ClassVar[bool] = True

    kind: Literal["responses-belong-to-requests"]

    def missing(self, requests: Sequence[DeclaredRequest], told: ResponseHeaders) -> tuple[str, str] | None:
        """Ask for answers that tell whose they are, of more than one."""
        del told
        echoes = {echo for request in requests for echo in request.echoes.items()}
        if not echoes:
            what = "it is about answers that tell what was asked for, and no request says where they do"
            return what, 'say so in the request: echoes = {"/id" = "{key}"}'
        pointers = [pointer for pointer, _ in echoes]
        if len(pointers) == len(set(pointers)) and not any(placeholders_in(template) for _, template in echoes):
            what = "all its answers are to echo the same, so that none could be told to be another's"
            return what, "let them echo what differs from request to request, such as {key}"
        return None


class ReturnsToBaseline(Absolute):
    """After all has healed no replica holds more than before anything was hurt, beyond what is allowed.

    What is compared are the last seconds before the first fault, and the last of the last phase: the most that was held
    then, and the least that is held since. At least one of the three must be said. Linux only.

    Attributes:
        connections: How many more connections to a service that it depends on, count.
        descriptors: How many more file descriptors, count.
        memory: By what share more resident memory.
        over: How many seconds each of the two takes.
    """

    kind: Literal["returns-to-baseline"]
    connections: int | None = Field(default=None, ge=0, le=1_000_000)
    descriptors: int | None = Field(default=None, ge=0, le=1_000_000)
    memory: Ratio | None = Field(default=None)
    over: Duration = Field(default=5.0, ge=3, le=600)

    @model_validator(mode="after")
    def _says_of_what(self) -> Self:
        if self.connections is None and self.descriptors is None and self.memory is None:
            raise ValueError("it says of nothing how much more may be held; say connections, descriptors or memory")
        return self

    def __str__(self) -> str:
        allowed = {"connections": self.connections, "descriptors": self.descriptors}
        said = [f"{name} +{count}" for name, count in allowed.items() if count is not None]
        said += [] if self.memory is None else [f"memory +{percent_text(self.memory)}"]
        return f"{self.kind} ({', '.join(said)})"


class OfAccepted(Absolute):
    """An invariant of what was only accepted: the service is asked at the end what became of it.

    Attributes:
        within: How long after the last answer of the load something may still be to be done.
    """

    within: Duration = Field(default=30.0, gt=0, le=3600)

    @property
    def settles_within_s(self) -> float:
        """Return for how long to ask."""
        return self.within


class TasksDoneOnce(OfAccepted):
    """Everything that was accepted is done or a dead letter in time, and what it does has happened exactly once.

    Attributes:
        each: How long one may take, from being accepted until it is done, in the service's own words. What it gives up
            takes the time of all its attempts, which this is not about.
    """

    kind: Literal["tasks-done-once"]
    each: Duration | None = Field(default=None, gt=0, le=3600, exclude_if=is_unsaid)

    def missing(self, requests: Sequence[DeclaredRequest], told: ResponseHeaders) -> tuple[str, str] | None:
        """Ask for something that is accepted, and for a way to learn what became of it, and how long it took."""
        del told
        missing = _nothing_accepted(requests)
        if missing is None and self.each is not None and not any(one.settles and one.settles.took for one in requests):
            what = "it is about how long each takes, and no request says where the service tells that"
            return what, "say so in the request that submits it: `took` in its `settles` (docs/load.md)"
        return missing

    def __str__(self) -> str:
        each = "" if self.each is None else f", each {duration_text(self.each)}"
        return f"{self.kind} (within {duration_text(self.within)}{each})"


class NoDuplicateEffect(OfAccepted):
    """What is asked for again, by a request of the same key, happens once, however often it was accepted."""

    kind: Literal["no-duplicate-effect"]

    def missing(self, requests: Sequence[DeclaredRequest], told: ResponseHeaders) -> tuple[str, str] | None:
        """Ask for something that is accepted, and that may be asked for again."""
        del told
        missing = _nothing_accepted(requests)
        if missing is None and not any(each.settles and each.settles.is_repeatable for each in requests):
            what = "it is about what is asked for again, and no two requests are about the same effects"
            return what, "let the effects of a request, and its idempotency key, be those of its {key}"
        return missing


class BreakerTrace(Absolute):
    """A circuit breaker goes from closed to open, from there to half open, and from there to either of them.

    While it is open it lets nothing through, for as long as is promised here; when it is half open a few calls.

    Attributes:
        rest: How long it rests when it has opened.
        longest: The longest rest, where each opening in a row doubles it; all are alike, where nothing is said.
        jitter: By what share a rest may be shorter or longer than that.
        probes: How many calls may be let through in a half-open state, those not counted that were cancelled.
        of: What the service calls the breakers that this is about; all of them, where none is named.
    """

    traces_breakers: ClassVar[bool] = True

    kind: Literal["breaker-trace"]
    rest: Duration = Field(gt=0, le=3600)
    longest: Duration | None = Field(default=None, gt=0, le=86_400)
    jitter: Ratio = Field(default=0.0, lt=1)
    probes: int = Field(ge=1, le=1_000_000)
    of: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.longest is not None and self.longest < self.rest:
            raise ValueError("the longest rest is shorter than the first; leave it out where all are alike")
        return self

    def __str__(self) -> str:
        named = f" of {', '.join(self.of)}" if self.of else ""
        longest = f" to {duration_text(self.longest)}" if self.longest is not None else ""
        jitter = f" ±{percent_text(self.jitter)}" if self.jitter else ""
        return f"{self.kind}{named} (rest {duration_text(self.rest)}{longest}{jitter}, probes {self.probes})"


Invariant = Annotated[
    NoAcknowledgedWriteLost
    | VersionsOnlyGrow
    | LimiterNeverOverAdmits
    | MonotonicReads
    | ResponsesBelongToRequests
    | ReturnsToBaseline
    | TasksDoneOnce
    | NoDuplicateEffect
    | BreakerTrace,
    Field(discriminator="kind"),
]
"""Any invariant that a scenario may hold a service to; `kind` says which it is."""

Promise = Objective | Invariant
"""Whatever a claim is made of; the class of each has the facts that `Objective` lists."""

PROMISES: Mapping[str, type[Promise]] = {
    **KINDS,
    **{get_args(kind.model_fields["kind"].annotation)[0]: kind for kind in get_args(get_args(Invariant)[0])},
}
"""Every kind of promise by the word that its claim is filed under."""


def word_of(promise: Promise) -> str:
    """Return that word."""
    return next(word for word, kind in PROMISES.items() if kind is type(promise))


def _nothing_accepted(requests: Sequence[DeclaredRequest]) -> tuple[str, str] | None:
    if any(request.settles is not None for request in requests):
        return None
    what = "it is about what is accepted and done later, and no request says how to ask what became of it"
    return what, "say so in the request that submits it: `settles` (docs/load.md)"


def _no_values(requests: Sequence[DeclaredRequest]) -> tuple[str, str] | None:
    writes = any(request.writes is not None for request in requests)
    reads = any(request.reads is not None for request in requests)
    missing = [word for word, is_there in (("writes", writes), ("reads", reads)) if not is_there]
    if not missing:
        return None
    what = f"it is about values that are written and read, and no request {' or '.join(missing)} one"
    return what, f'say where the value stands, in the request: {missing[0]} = "/MEMBER", or "" for the whole body'


def _no_versions(told: ResponseHeaders) -> tuple[str, str] | None:
    if told.version is not None:
        return None
    what = "it is about versions that answers tell, and no header is named that does"
    return what, 'name it in readiness.toml, as your service has it: [system.headers] with version = "HEADER"'


def _no_items(requests: Sequence[DeclaredRequest]) -> tuple[str, str] | None:
    if requests:
        return None
    what = "it is about items that are asked for, and what a locustfile asks for is not known"
    return what, "declare the requests instead, in readiness.toml or in load.requests"


def _no_clients(requests: Sequence[DeclaredRequest], by: Sequence[str]) -> tuple[str, str] | None:
    named = ", ".join(by)
    said = [text for request in requests if (text := request.said(by)) is not None]
    if not said:
        return f"it tells clients apart by {named}, and no request says it", f"give requests the header {by[0]}"
    if any(is_of_one_request(text) for text in said):
        what = (
            f"it tells clients apart by {named}, which no record of a request tells where {{unique}} or a user makes it"
        )
        return what, "name few clients, or make them of {key}"
    return None
