"""When a run is given up while it is under way: what goes on then is a mess that proves nothing, and may do harm."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from harness.spec.model import Model, is_unsaid
from harness.spec.quantity import Duration, Ratio


class AbortWhen(Model):
    """Any of these, for as long as `over`, ends the run: healed, and as an `error` with the reason.

    Attributes:
        errors: Share of the requests that ended in it and failed.
        cpu_pressure: Share of the time in which something on the machine waited for a processor.
        memory_pressure: The same for memory.
        io_pressure: The same for disks.
        over: The last so many seconds.
    """

    errors: Ratio | None = Field(default=None, gt=0, le=1, exclude_if=is_unsaid)
    cpu_pressure: Ratio | None = Field(default=None, gt=0, le=1, exclude_if=is_unsaid)
    memory_pressure: Ratio | None = Field(default=None, gt=0, le=1, exclude_if=is_unsaid)
    io_pressure: Ratio | None = Field(default=None, gt=0, le=1, exclude_if=is_unsaid)
    over: Duration = Field(default=5.0, ge=1, le=3600)

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        if all(each is None for each in (self.errors, self.cpu_pressure, self.memory_pressure, self.io_pressure)):
            raise ValueError("it says nothing to abort for; add errors, cpu_pressure, memory_pressure or io_pressure")
        return self
