"""What a fault hits, and when.

A target is a service (`redis`: every edge into it, or its process) or one edge (`replica-1.redis`). Without a window a
fault is there for the whole of its phase.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from harness.spec.model import Model
from harness.spec.quantity import Duration, duration_text

Target = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}(\.[a-z0-9][a-z0-9-]{0,30})?$")]
_LONGEST_S = 24 * 3600

SILENCE_S = 1.0
"""What is not answered for so long is met by silence: on a stack that is well the same question takes a millisecond."""

LOOK_OVERHEAD_S = 0.2
"""What a look at a dose takes beside the dose itself: a few questions to the proxy's API, some 10 ms each on an idle
machine, and a thread an edge."""

ENDS_WITHIN_S = 5.0
"""What is asked to end does so within this time, or is killed."""


RELOADS_WITHIN_S = 2.0
"""What is told to read its configuration again has new workers within this time; nginx takes 20 to 90 ms of two busy
cores (measured 2026-11)."""


class Timed(Model):
    """What every fault says.

    Attributes:
        at: When it begins, after its phase has.
    """

    needs_looks: ClassVar[bool] = True
    """Whether its dose is looked at while it is there; else it is counted when the load has ended."""

    leaves_trace: ClassVar[bool] = True
    """Whether something of it outlives its end: another process, other data, other settings of a server. A stack that
    several stories share is not handed on after one that does, nor after a kind that says nothing of it."""

    at: Duration = Field(default=0.0, ge=0, le=_LONGEST_S)

    @property
    def look_s(self) -> float:
        """Return how long one look at its dose takes, beside what asking costs; in seconds."""
        return 0.0

    @property
    def least_s(self) -> float:
        """Return how long it must be there, or its dose cannot be seen; in seconds."""
        return self.look_s

    @property
    def when(self) -> str:
        """Say when it is there, if it says so itself; empty, or with a space before it."""
        return f" at {duration_text(self.at)}" if self.at else ""

    @property
    def end_key(self) -> str | None:
        """Return the key that says when it ends; None if that is with its phase."""
        return None

    def ends_after_s(self, phase_lasts_s: float) -> float:
        """Return when it ends, in seconds after its phase of that length has begun."""
        return phase_lasts_s

    @property
    def spans(self) -> bool:
        """Tell whether it is there for the whole of its phase, however long that becomes."""
        return not self.at

    def stretched(self, factor: float) -> Self:
        """Return it in a phase that lasts `factor` times as long: what it does is the same."""
        return self.model_copy(update={"at": self.at * factor})

    @model_serializer(mode="wrap")
    def _as_in_a_file(self, plainly: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Say of the window what the file said: a fault without one is written as it was before there were any."""
        said = {"for" if name == "for_" else name: value for name, value in plainly(self).items()}
        unsaid = {"at": duration_text(0.0), "for": None, "until": None}
        return {name: value for name, value in said.items() if name not in unsaid or value != unsaid[name]}


class Targeted(Timed):
    """A fault that hits a part of the stack."""

    component: ClassVar[str | None] = None
    """The kind of component that its target must be; None if it hits any service, or an edge."""

    target: Target


class Window(Timed):
    """A fault that may end before its phase does.

    Attributes:
        for_: How long it is there; `for` in a file.
        until: When it ends, after its phase has begun. At most one of the two.
    """

    for_: Duration | None = Field(default=None, alias="for", gt=0, le=_LONGEST_S)
    until: Duration | None = Field(default=None, gt=0, le=_LONGEST_S)

    @property
    def when(self) -> str:
        """Say when it is there, if it says so itself; empty, or with a space before it."""
        lasts = f" for {duration_text(self.for_)}" if self.for_ else ""
        return f"{super().when}{lasts}" + (f" until {duration_text(self.until)}" if self.until else "")

    @property
    def end_key(self) -> str | None:
        """Return the key that says when it ends; None if that is with its phase."""
        return "for" if self.for_ is not None else "until" if self.until is not None else None

    def ends_after_s(self, phase_lasts_s: float) -> float:
        """Return when it ends, in seconds after its phase of that length has begun."""
        if self.for_ is not None:
            return self.at + self.for_
        return phase_lasts_s if self.until is None else self.until

    @property
    def spans(self) -> bool:
        """Tell whether it is there for the whole of its phase, however long that becomes."""
        return not self.at and self.for_ is None and self.until is None

    def stretched(self, factor: float) -> Self:
        """Return it in a phase that lasts `factor` times as long: what it does is the same."""
        longer = {"for_": self.for_, "until": self.until}
        return (
            super()
            .stretched(factor)
            .model_copy(update={name: value if value is None else value * factor for name, value in longer.items()})
        )

    @model_validator(mode="after")
    def _ends_once_and_after_it_begins(self) -> Self:
        if self.for_ is not None and self.until is not None:
            raise ValueError("`for` and `until` both say when it ends; keep one of the two")
        if self.until is not None and self.until <= self.at:
            raise ValueError(
                f"it would end at {duration_text(self.until)} and begin at {duration_text(self.at)}; "
                "let `until` be later than `at`, both from the beginning of the phase"
            )
        return self


class Windowed(Window, Targeted):
    """A fault that hits a part of the stack, and may end before its phase does."""


def nothing_to_hit(fault: Targeted) -> str:
    """Say that the target of a fault is not there: such a fault must never look like a survived one."""
    kind = f"{fault.component} called " if fault.component else ""
    return f"the fault `{fault}` has nothing to hit: there is no {kind}{fault.target!r}"
