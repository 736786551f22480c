"""A phase: a named stretch of the run, with the faults that happen in it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from harness.spec.faults import Fault
from harness.spec.model import Model
from harness.spec.quantity import Duration

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""Lower-case letters, digits and dashes: it names folders, tests and report pages."""


class Phase(Model):
    """A named stretch of the run; samples belong to it by their intended start.

    Attributes:
        name: `warmup` is not judged; `baseline`, `fault`, `recovery` are what objectives refer to.
        lasts: How long, before the profile stretches it.
        faults: Each begins when it says, or with the phase, and ends when it says, or with the phase.
    """

    name: Slug
    lasts: Duration = Field(gt=0, le=24 * 3600)
    faults: tuple[Fault, ...] = ()

    def stretched(self, factor: float) -> Phase:
        """Return this phase `factor` times as long, with the windows of its faults."""
        faults = tuple(fault.stretched(factor) for fault in self.faults)
        return self.model_copy(update={"lasts": self.lasts * factor, "faults": faults})

    @property
    def goes_on(self) -> bool:
        """Tell whether it may be made longer: every fault in it spans it, so that more of it is more of the same."""
        return all(fault.spans for fault in self.faults)
