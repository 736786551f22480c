"""One run's figures, phase by phase: what a later run is compared by.

A run is one block: its thousands of requests hang together, so they make one value each of p95, the share of slow
ones, of errors and of hits, and never thousands.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import Field, model_validator

from harness.history.samples import SampleOutcome
from harness.measure.ratios import count
from harness.measure.series import percentile_s
from harness.spec.model import Model
from harness.spec.objective import Errors, Slow, first_hits, tightest_s
from harness.spec.phase import Slug

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.history.history import History
    from harness.history.samples import Samples
    from harness.spec.objective import RatioObjective
    from harness.spec.scenario import Scenario

WELL_WITHIN = 0.95
"""The rank of p95."""


class Quantity(StrEnum):
    """What runs are compared by."""

    P95 = "p95"
    """Seconds that 95 % of all requests ended well within."""
    SLOW = "slow"
    """Share of requests beyond the time that the scenario calls slow."""
    ERRORS = "errors"
    """Share of requests that did not end well."""
    HITS = "hits"
    """Share of reads that a cache level answered."""

    @property
    def is_better_high(self) -> bool:
        """Tell whether more of it is better."""
        return self is Quantity.HITS


class Figure(Model):
    """One quantity of one run.

    Attributes:
        phase: The phase it is about.
        quantity: What it is.
        value: Seconds for p95, else a share in [0, 1]; None if nothing could be measured.
        total: Requests behind it.
    """

    phase: Slug
    quantity: Quantity
    value: float | None = Field(ge=0)
    total: int = Field(ge=0)

    @model_validator(mode="after")
    def _shares_are_shares(self) -> Self:
        if self.quantity is not Quantity.P95 and (self.value or 0) > 1:
            raise ValueError(f"{self.quantity} is a share, and {self.value} is more than 1")
        return self


class Block(Model):
    """One run of one scenario.

    Attributes:
        run_id: Which run; a run counts once, wherever its folder is.
        began_at: When it began, ISO 8601 in UTC.
        figures: What it measured.
    """

    run_id: str = Field(min_length=1)
    began_at: str
    figures: tuple[Figure, ...]

    def figure(self, phase: str, quantity: Quantity) -> Figure | None:
        """Return one of its figures, None if it has none of that phase and quantity."""
        return next((each for each in self.figures if (each.phase, each.quantity) == (phase, quantity)), None)


def figures(scenario: Scenario, history: History) -> tuple[Figure, ...]:
    """Measure every phase that an objective speaks of; a warm-up is not compared."""
    judged = {objective.during for objective in scenario.objectives}
    return tuple(
        figure
        for phase in scenario.phases
        if phase.name in judged
        for figure in _of_phase(scenario, phase.name, history.during(phase.name))
    )


def _of_phase(scenario: Scenario, phase: str, samples: Samples) -> Iterator[Figure]:
    yield Figure(phase=phase, quantity=Quantity.P95, value=_p95_s(samples), total=len(samples))
    for quantity, objective in _ratios(scenario, phase):
        seen = count(objective, samples)
        yield Figure(phase=phase, quantity=quantity, value=seen.share, total=seen.total)


def _p95_s(samples: Samples) -> float | None:
    """Return the 95th percentile of all requests, those that did not end well taken as the slowest.

    None if it falls among those: a service cannot get faster by failing.
    """
    is_ok = samples.has_outcome(SampleOutcome.OK)
    within_s = percentile_s(np.where(is_ok, samples.records["latency_s"], np.inf), WELL_WITHIN)
    return None if within_s is None or np.isinf(within_s) else within_s


def _ratios(scenario: Scenario, phase: str) -> Iterator[tuple[Quantity, RatioObjective]]:
    """Return the shares to measure; what is slow, and what is a hit, is what the scenario's own objectives say.

    Their limits do not matter: shares are measured here, and judged elsewhere.
    """
    own = [objective for objective in scenario.objectives if objective.during == phase]
    over_s = tightest_s(own) or tightest_s(scenario.objectives)
    if over_s is not None:
        yield Quantity.SLOW, Slow.model_construct(sli="slow", over=over_s, max=1.0)
    yield Quantity.ERRORS, Errors.model_construct(sli="errors", max=1.0)
    hits = first_hits((*own, *scenario.objectives))
    if hits is not None:
        yield Quantity.HITS, hits
