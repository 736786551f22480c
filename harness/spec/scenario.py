"""A scenario: one story in phases, under one load, with the promises that must hold."""

from __future__ import annotations

import math
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import AfterValidator, Field, WithJsonSchema, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from harness.spec.abort import AbortWhen
from harness.spec.claim import Catches, ChecklistRow, Tier
from harness.spec.faults import Spike, TrafficFault
from harness.spec.faults.traffic import TrafficWindow
from harness.spec.invariant import Invariant, Promise
from harness.spec.load import Load
from harness.spec.mistakes import check_all
from harness.spec.model import Model, Plain, Variable, is_unsaid
from harness.spec.objective import Hits, Objective, OfPhase, Recovery, ratios_of, recoveries_of
from harness.spec.path import below
from harness.spec.phase import Phase, Slug
from harness.spec.quantity import duration_text, rate_text
from harness.spec.schedule import PER_S_MAX
from harness.spec.sometimes import Answered, Sometimes
from harness.spec.standby import Standbys
from harness.spec.timeline import Moment, Scheduled, moments, scheduled

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from harness.spec.faults import Fault
    from harness.spec.login import Login
    from harness.spec.requests import DeclaredRequest, ResponseHeaders


def _doubled(factor: float) -> float:
    if factor not in EXTENSIONS:
        raise ValueError(f"{factor:g} is none of {', '.join(f'{each:g}' for each in EXTENSIONS)}: each look doubles")
    return factor


EXTENSIONS = (1.0, 2.0, 4.0, 8.0, 16.0)
Extension = Annotated[float, AfterValidator(_doubled), WithJsonSchema({"type": "number", "enum": list(EXTENSIONS)})]
"""How many times as long a phase may become: it is doubled as often as its promises are still open."""


WORKERS_MAX = 16
WorkerCount = Annotated[int, Field(ge=0, le=WORKERS_MAX)]


def _named_once(phases: tuple[Phase, ...]) -> tuple[Phase, ...]:
    names = [phase.name for phase in phases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"the phase {', '.join(twice)} is there twice; give each phase its own name")
    return phases


def _is_usual_tier(tier: object) -> bool:
    """Leave it out of evidence, for the same reason as what was not said (`is_unsaid`)."""
    return tier == "P0"


class Scenario(Model):
    """One YAML file in scenarios/.

    Attributes:
        scenario: Its name: the pytest node, the folder of its evidence, the row of the verdict table.
        story: One sentence for the report: what happens, and what must hold.
        environment: Variables of each process of the judged service, in this scenario only: a lower limit, a shorter
            lifetime, so that it can be reached in a minute.
        standbys: Components that have a standby in this scenario, by name: it takes their place in a `failover`.
        workers: How many of each further process of the service there are, in this scenario only, by name.
        load: One for all phases; where recovery is promised its rate is steady, or a lighter load would do.
        phases: In order of time.
        objectives: Beyond the defaults of readiness.toml, which hold in the phase `baseline`.
        invariants: What must never happen, in any phase.
        default_invariants: The same of every scenario, as readiness.toml says; a file cannot say it. Those that are
            among `invariants`, word for word, are there alone.
        extends_to: How many times as long as planned a phase may become, while its promises are neither kept nor
            broken; a profile may say so for all scenarios.
        sometimes: Points that must be reached, or the run proves nothing.
        tier: How much depends on it. What says nothing is P0, and so is in every run: to be left out of a gate is what
            must be said, not what happens to a file whose author did not think of it.
        catches: Seeded defects that must turn this scenario red, and by which promise.
        answers: Rows of a checklist for production readiness that its verdict answers.
        abort_when: What ends it at once; where it says nothing, readiness.toml may.
    """

    scenario: Slug
    story: str = Field(min_length=10, max_length=400)
    environment: dict[Variable, Plain] = Field(default_factory=dict, exclude_if=is_unsaid)
    standbys: Standbys = Field(default_factory=dict, exclude_if=is_unsaid)
    workers: dict[Slug, WorkerCount] = Field(default_factory=dict, exclude_if=is_unsaid)
    load: Load
    phases: Annotated[tuple[Phase, ...], Field(min_length=1, max_length=50), AfterValidator(_named_once)]
    objectives: tuple[Objective, ...] = ()
    invariants: tuple[Invariant, ...] = ()
    default_invariants: SkipJsonSchema[tuple[Invariant, ...]] = Field(default=(), exclude_if=is_unsaid)
    extends_to: Extension = 1.0
    sometimes: tuple[Sometimes, ...] = ()
    tier: Tier = Field(default="P0", exclude_if=_is_usual_tier)
    catches: Catches = ()
    answers: Annotated[tuple[ChecklistRow, ...], Field(max_length=50)] = Field(default=(), exclude_if=is_unsaid)
    abort_when: AbortWhen | None = Field(default=None, exclude_if=is_unsaid)

    @property
    def lasts_s(self) -> float:
        """Return the length of all phases, in seconds."""
        return sum(phase.lasts for phase in self.phases)

    @property
    def promises(self) -> tuple[Promise, ...]:
        """Return everything that is judged: objectives, then invariants."""
        return *self.objectives, *self.all_invariants

    @property
    def all_invariants(self) -> tuple[Invariant, ...]:
        """Return what must never happen: what every scenario is held to, then its own."""
        return *self.default_invariants, *self.invariants

    @property
    def remembers(self) -> bool:
        """Return whether what its requests write and read must be remembered."""
        return any(invariant.remembers for invariant in self.all_invariants)

    @property
    def compares_echoes(self) -> bool:
        """Return whether it must be known whose answers its requests get."""
        return any(invariant.compares_echoes for invariant in self.all_invariants)

    @property
    def traces_breakers(self) -> bool:
        """Return whether replicas must be asked what their circuit breakers did."""
        return any(invariant.traces_breakers for invariant in self.all_invariants)

    @property
    def settles_within_s(self) -> float:
        """Return for how long to ask, when the load is over, what became of what was accepted; 0: not at all."""
        return max((invariant.settles_within_s for invariant in self.all_invariants), default=0.0)

    @property
    def looks(self) -> int:
        """Return how often a phase's promises may be looked at: each look but the last may double its length."""
        return int(math.log2(self.extends_to)) + 1

    @property
    def longest_s(self) -> float:
        """Return how long all phases may become, in seconds."""
        return sum(phase.lasts * float(2 ** (self.looks_during(phase.name) - 1)) for phase in self.phases)

    def looks_during(self, name: str) -> int:
        """Return how often the promises of the phase `name` may be looked at: once, where a fault does not span it."""
        return next((self.looks for phase in self.phases if phase.name == name and phase.goes_on), 1)

    @property
    def windows(self) -> tuple[tuple[Phase, float, float], ...]:
        """Return each phase with its planned beginning and end, seconds since the origin."""
        ends_s = accumulate(phase.lasts for phase in self.phases)
        return tuple((phase, end_s - phase.lasts, end_s) for phase, end_s in zip(self.phases, ends_s, strict=True))

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Return every fault of every phase, in order."""
        return tuple(fault for phase in self.phases for fault in phase.faults)

    @property
    def actions(self) -> tuple[Scheduled, ...]:
        """Return the same with ids and windows."""
        return scheduled(self.phases)

    @property
    def traffic(self) -> tuple[TrafficWindow, ...]:
        """Return those of them that are laid into the load's schedule, at times that nothing can move any more."""
        return tuple(
            TrafficWindow(id=each.id, starts_s=each.starts_s, ends_s=each.ends_s, fault=each.spec)
            for each in self.actions
            if isinstance(each.spec, TrafficFault)
        )

    @property
    def moments(self) -> tuple[Moment, ...]:
        """Return everything that must happen, in order."""
        return moments(self.phases, looks=self.looks)

    def expected(self, began_s: float, ended_s: float, names: Collection[str] = ()) -> float:
        """Return how many requests that promises are about to expect in [began_s, ended_s), with all traffic faults.

        Args:
            began_s: From when on, seconds since the origin.
            ended_s: Until when.
            names: Of these requests; of all, where none is named.
        """
        share = self.load.share_of(names) if names else 1.0
        windows = [(each.fault, max(began_s, each.starts_s), min(ended_s, each.ends_s)) for each in self.traffic]
        more = sum(
            fault.more(self.load, since_s, end_s, names) - fault.unjudged(self.load, since_s, end_s, names)
            for fault, since_s, end_s in windows
            if since_s < end_s
        )
        return self.load.expected(began_s, ended_s) * share + more

    def stretched(self, factor: float) -> Scenario:
        """Return this scenario with phases and windows `factor` times as long; recovery objectives stay as they are."""
        phases = tuple(phase.stretched(factor) for phase in self.phases)
        return self.model_copy(update={"phases": phases, "load": self.load.stretched(factor)})

    def extending(self, factor: float) -> Scenario:
        """Return this scenario with phases that may become `factor` times as long, where its load lets them."""
        if self.extends_to > 1 or self.traffic or not self.load.is_steady(0.0, self.lasts_s):
            return self
        return self.model_copy(update={"extends_to": factor})

    @property
    def told_apart(self) -> dict[str, tuple[str, ...]]:
        """Return the names that it promises something of, by the list that they have in samples."""
        ratios = ratios_of(self.objectives)
        operations = [name for each in ratios for name in ((each.of,) if isinstance(each.of, str) else each.of or ())]
        levels = [level for each in ratios if isinstance(each, Hits) for level in each.levels]
        answering = [point.by for point in self.sometimes if isinstance(point, Answered)]
        told = {"operations": operations, "sources": [*levels, *answering], "replicas": answering}
        return {column: tuple(dict.fromkeys(names)) for column, names in told.items()}

    def asking(
        self, requests: tuple[DeclaredRequest, ...], headers: ResponseHeaders, login: Login | None = None
    ) -> Scenario:
        """Return this scenario with everything said of its requests: what a service declares, where it says nothing."""
        load = self.load.asking(requests, headers, login)
        objectives = tuple(
            each.answered_from(load.told.hits, load.cacheable) if isinstance(each, Hits) else each
            for each in self.objectives
        )
        return self.model_copy(update={"load": load, "objectives": objectives})

    def promising(self, defaults: tuple[Objective, ...], invariants: tuple[Invariant, ...] = ()) -> Scenario:
        """Return this scenario with what is promised of every one.

        Args:
            defaults: Stand before its own objectives, where it has their phase.
            invariants: Hold beside its own, whatever its phases are: only the very same one takes the place of one.
        """
        names = {phase.name for phase in self.phases}
        objectives = (*(each for each in defaults if each.during in names), *self.objectives)
        others = tuple(each for each in invariants if each not in self.invariants)
        return self.model_copy(update={"objectives": objectives, "default_invariants": others})

    @field_validator("load")
    @classmethod
    def _presses_with_our_own_users(cls, load: Load) -> Load:
        below(load.locustfile or "")
        if any(request.body_file for request in load.requests):
            raise ValueError("a request whose body is a file stands in readiness.toml; declare it there, or say `body`")
        return load

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        lengths = {phase.name: phase.lasts for phase in self.phases}
        check_all(
            [
                *(
                    ((key, index), partial(_check_phase, each, lengths))
                    for key, judged in (("objectives", self.objectives), ("sometimes", self.sometimes))
                    for index, each in enumerate(judged)
                ),
                (("load", "schedule"), self._check_recovery_is_under_unchanged_load),
                (("extends_to",), self._check_only_a_steady_load_goes_on),
                *(
                    (
                        ("phases",),
                        partial(self._check_height, each.fault, each.starts_s, min(each.ends_s, self.lasts_s)),
                    )
                    for each in self.traffic
                    if isinstance(each.fault, Spike)
                ),
                (("phases", len(self.phases) - 1), self._check_every_fault_has_an_after),
            ]
        )
        return self

    def _check_recovery_is_under_unchanged_load(self) -> None:
        if not recoveries_of(self.objectives):
            return
        faulty = next((index for index, phase in enumerate(self.phases) if phase.faults), 0)
        began_s = sum(phase.lasts for phase in self.phases[:faulty])
        if not self.load.is_steady(began_s, self.lasts_s):
            raise ValueError(
                f"the schedule {self.load.schedule.kind!r} changes the rate after {duration_text(began_s)}, and "
                "recovery is only seen under unchanged load; let the rate be steady from the first fault on"
            )

    def _check_only_a_steady_load_goes_on(self) -> None:
        if self.extends_to > 1 and not self.load.is_steady(0.0, self.lasts_s):
            raise ValueError(
                f"the schedule {self.load.schedule.kind!r} has its own length, so no phase can be made longer; "
                "leave out extends_to"
            )
        if self.extends_to > 1 and self.traffic:
            raise ValueError(
                f"the fault `{self.traffic[0].fault}` is a part of the load's schedule, so no phase can be made "
                "longer; leave out extends_to"
            )

    def _check_height(self, spike: Spike, starts_s: float, ends_s: float) -> None:
        """See that a spike rises above the schedule, and no higher than a generator reaches.

        Raises:
            ValueError: If not.
        """
        usual_per_s = self.load.peak_between(starts_s, ends_s)
        peak_per_s = spike.peak_per_s(self.load, starts_s, ends_s)
        if peak_per_s <= usual_per_s:
            raise ValueError(f"the schedule has {rate_text(usual_per_s)}, so `{spike}` is no spike; let it rise higher")
        if peak_per_s > PER_S_MAX:
            raise ValueError(
                f"`{spike}` comes to {rate_text(peak_per_s)}, and one generator sends {rate_text(PER_S_MAX)} at most"
            )

    def _check_every_fault_has_an_after(self) -> None:
        if self.phases[-1].faults:
            raise ValueError("the last phase injects a fault; add a phase after it, or whether it healed is not seen")


def _check_phase(each: Objective | Sometimes, lengths: Mapping[str, float]) -> None:
    """See that the phase that a promise or a point is about is there, and long enough for it.

    Args:
        each: The promise or the point.
        lengths: Of the phases by name, seconds.

    Raises:
        ValueError: If not.
    """
    if each.during not in lengths:
        raise ValueError(
            f"`{each}` is about the phase {each.during!r}, which is not there; its phases: {', '.join(lengths)}"
        )
    if isinstance(each, OfPhase) and each.after >= lengths[each.during]:
        raise ValueError(
            f"`{each}` counts nothing: the phase {each.during!r} lasts {duration_text(lengths[each.during])}; make "
            "`after` shorter than that"
        )
    if isinstance(each, Recovery):
        _check_recovery_can_be_seen(each, lengths[each.during])


def _check_recovery_can_be_seen(objective: Recovery, lasts_s: float) -> None:
    if lasts_s < objective.needs_s:
        raise ValueError(
            f"objective `{objective}` needs the phase {objective.during!r} to last {duration_text(objective.needs_s)}, "
            f"so that staying well is seen, and it lasts {duration_text(lasts_s)}; lengthen it"
        )
