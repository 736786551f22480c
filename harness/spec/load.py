"""How hard the service is pressed: a rate of arrivals, not a number of users."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from harness.spec.login import Login
from harness.spec.model import Model, is_unsaid
from harness.spec.quantity import Duration
from harness.spec.requests import ROOT, DeclaredRequest, Keys, Requests, ResponseHeaders
from harness.spec.schedule import PER_S_MAX, Constant, Schedule

if TYPE_CHECKING:
    from collections.abc import Collection


class Load(Model):
    """An open load: requests start when the schedule says, whether or not earlier ones were answered.

    Attributes:
        arrivals_per_s: Requests a second, over all kinds: where the schedule begins, or what it swings around.
        schedule: How the rate changes over the run.
        arrivals: `poisson` (independent clients) or `constant` (a metronome, for comparisons).
        client: `fast` (an HTTP library) or `lean` (a bare socket, for high rates).
        locustfile: Locust users to press with, instead of ours: a file below the project's folder. An arrival is then
            one run of a task, and `keys` mean nothing.
        requests: What is asked; where a scenario says nothing, what readiness.toml declares.
        headers: What answers tell of themselves; where a scenario says nothing, what readiness.toml declares.
        login: How users make themselves known; where a scenario says nothing, what readiness.toml declares.
        keys: Which keys are asked for, by requests that name no range of their own.
        max_in_flight: Requests at a time; arrivals beyond it wait, and their latency counts the wait.
        seats_per_s: How many users of a locustfile may begin their on_start in a second, before the load; ten at most
            are in it at a time.
        drain: How long answers are awaited after the last arrival.
    """

    arrivals_per_s: float = Field(gt=0, le=PER_S_MAX)
    schedule: Schedule = Constant()
    arrivals: Literal["poisson", "constant"] = "poisson"
    client: Literal["fast", "lean"] = "fast"
    locustfile: str | None = Field(default=None, min_length=1)
    requests: Requests = ()
    headers: ResponseHeaders | None = None
    login: Login | None = Field(default=None, exclude_if=is_unsaid)
    keys: Keys = Keys()
    max_in_flight: int = Field(default=256, ge=1, le=10_000)
    seats_per_s: float | None = Field(default=None, gt=0, le=10_000, exclude_if=is_unsaid)
    drain: Duration = Field(default=5.0, gt=0, le=60)

    @property
    def asked(self) -> tuple[DeclaredRequest, ...]:
        """Return what is asked; nothing that could be told beforehand, where a locustfile asks."""
        return () if self.locustfile is not None else self.requests or ROOT

    @property
    def told(self) -> ResponseHeaders:
        """Return what answers tell of themselves."""
        return self.headers or ResponseHeaders()

    @property
    def headers_said(self) -> tuple[str, ...]:
        """Return the templates of all headers that are sent, those of a login and of what is asked later among them."""
        said = [text for request in self.asked for text in request.headers.values()]
        said += [text for each in self.asked if each.settles for text in each.settles.headers.values()]
        if self.login is not None:
            said += [text for step in self.login.steps for text in step.headers.values()]
        return tuple(said)

    @property
    def cacheable(self) -> tuple[str, ...]:
        """Return the names of the requests that a cache may answer."""
        return tuple(request.name for request in self.asked if request.may_be_cached)

    def share_of(self, names: Collection[str]) -> float:
        """Return the share of all requests that those of these names are, a ratio; 1 where a locustfile asks."""
        if not self.asked:
            return 1.0
        weights = {request.name: request.weight for request in self.asked}
        return sum(weights.get(name, 0.0) for name in set(names)) / sum(weights.values())

    def asking(
        self, requests: tuple[DeclaredRequest, ...], headers: ResponseHeaders, login: Login | None = None
    ) -> Load:
        """Return the same load with everything said: what a service declares, where the load says nothing."""
        if self.locustfile is not None:
            return self.model_copy(update={"requests": (), "headers": self.headers or headers})
        known = self.login or login
        sends = known.sends if known is not None else {}
        asked = tuple(each.sending(sends) for each in self.requests or requests or ROOT)
        return self.model_copy(update={"requests": asked, "headers": self.headers or headers, "login": known})

    def stretched(self, factor: float) -> Load:
        """Return the same load for a run `factor` times as long."""
        return self.model_copy(update={"schedule": self.schedule.stretched(factor)})

    def expected(self, began_s: float, ended_s: float) -> float:
        """Return how many requests to expect in [began_s, ended_s), seconds since the origin: the rate's integral."""
        return max(0.0, self._until(ended_s) - self._until(began_s))  # where nothing comes, rounding may leave less

    def peak_per_s(self, lasts_s: float) -> float:
        """Return the highest rate of a run."""
        return max(per_s for _, per_s in self.schedule.knots(self.arrivals_per_s, lasts_s))

    def peak_between(self, began_s: float, ended_s: float) -> float:
        """Return the highest rate from one moment until another, seconds since the origin."""
        knots = self.schedule.knots(self.arrivals_per_s, ended_s)
        until = self.schedule.knots(self.arrivals_per_s, began_s)[-1:] if began_s > 0 else knots[:1]
        return max(per_s for at_s, per_s in (*until, *knots) if at_s >= began_s)

    def is_steady(self, began_s: float, ended_s: float) -> bool:
        """Tell whether the rate stays what it is at `began_s` until `ended_s`."""
        if self.schedule.kind == "replay":
            return False
        knots = self.schedule.knots(self.arrivals_per_s, ended_s)
        spans = [(one, other) for one, other in pairwise(knots) if other[0] > began_s and other[0] > one[0]]
        return len({per_s for span in spans for _, per_s in span}) <= 1

    def _until(self, at_s: float) -> float:
        knots = self.schedule.knots(self.arrivals_per_s, at_s) if at_s > 0 else ()
        return sum((one[1] + other[1]) / 2 * (other[0] - one[0]) for one, other in pairwise(knots))

    @model_validator(mode="after")
    def _is_asked_by_one(self) -> Self:
        for key in ("requests", "login"):
            if self.locustfile is not None and getattr(self, key):
                raise ValueError(f"a locustfile and {key} are two answers to what is asked; keep the one that is meant")
        if self.locustfile is not None and self.requests:
            raise ValueError("a locustfile and requests are two answers to what is asked; keep the one that is meant")
        if self.locustfile is None and self.seats_per_s is not None:
            raise ValueError("seats_per_s is about users of a locustfile, and there is none; leave it out")
        return self
