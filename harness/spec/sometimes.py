"""Points that must be reached sometimes, or the story was not told: the breaker did open, the dead replica came back.

A fault that is there proves nothing if what should answer it was never called upon.

Source of the idea: Antithesis, "Sometimes assertions".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from harness.spec.model import Model

if TYPE_CHECKING:
    from collections.abc import Mapping

Name = Annotated[str, Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")]
"""A metric's or a label's name, as Prometheus writes them."""


class Answered(Model):
    """Some answer came from this replica, or from this level of a cache, by the headers that say so."""

    kind: Literal["answered"]
    by: str = Field(min_length=1)
    during: str = "fault"

    def __str__(self) -> str:
        return f"{self.by} answered"


class Metric(Model):
    """Some replica's metric was at least this large, when it was looked at.

    Attributes:
        metric: The sample's name; of several that carry `labels`, the sum counts.
        labels: What the sample must carry; it may carry more.
        at_least: The value.
    """

    kind: Literal["metric"]
    metric: Name
    labels: dict[Name, str] = Field(default_factory=dict)
    at_least: float
    during: str = "fault"

    def __str__(self) -> str:
        return f"{selected(self.metric, self.labels)} ≥ {self.at_least:g}"


class Grows(Model):
    """Some replica's metric grew by at least this much over the phase.

    Attributes:
        metric: The sample's name; of several that carry `labels`, the sum counts.
        labels: What the sample must carry; it may carry more.
        by: The growth.
    """

    kind: Literal["grows"]
    metric: Name
    labels: dict[Name, str] = Field(default_factory=dict)
    by: float = Field(default=1.0, gt=0)
    during: str = "fault"

    def __str__(self) -> str:
        return f"{selected(self.metric, self.labels)} grows by {self.by:g}"


def selected(metric: str, labels: Mapping[str, str]) -> str:
    """Return which samples are meant, as Prometheus would write it but for quotes."""
    said = ", ".join(f"{name}={value}" for name, value in labels.items())
    return f"{metric}{{{said}}}" if said else metric


Measured = Metric | Grows
"""What only the service itself can say."""

Sometimes = Annotated[Answered | Metric | Grows, Field(discriminator="kind")]
"""Any point that a scenario may want to be reached."""
