"""What each replica says of itself when nothing of a story is left in it, so that another one may begin there."""

from __future__ import annotations

from math import inf
from typing import Self

from pydantic import Field, model_validator

from harness.spec.model import Model
from harness.spec.sometimes import Name, selected


class CleanMetric(Model):
    """A metric of each replica, and the values that it has in a clean one.

    Attributes:
        metric: The sample's name; of several that carry `labels`, the sum counts.
        labels: What the sample must carry; it may carry more.
        at_least: The lowest value; any, if it is not said.
        at_most: The highest value; any, if it is not said.
    """

    metric: Name
    labels: dict[Name, str] = Field(default_factory=dict)
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _tells_clean_from_unclean(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError(f"any value of {self.metric} would be clean; say at_least, at_most or both")
        if not self._lowest <= self._highest:
            raise ValueError(f"no value of {self.metric} would be clean: at_least is above at_most")
        return self

    @property
    def _lowest(self) -> float:
        return -inf if self.at_least is None else self.at_least

    @property
    def _highest(self) -> float:
        return inf if self.at_most is None else self.at_most

    def allows(self, value: float) -> bool:
        """Tell whether a clean replica may say this; NaN says nothing, and is never clean."""
        return self._lowest <= value <= self._highest

    def __str__(self) -> str:
        bounds = [("≥", self.at_least), ("≤", self.at_most)]
        said = " and ".join(f"{sign} {limit:g}" for sign, limit in bounds if limit is not None)
        return f"{selected(self.metric, self.labels)} {said}"
