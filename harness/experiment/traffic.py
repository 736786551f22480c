"""A fault of the load, from its window's beginning to the count of what was sent in it; nothing is done, or undone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.history.marks import Dose, FaultMark

if TYPE_CHECKING:
    from harness.spec.timeline import Scheduled


@dataclass
class TrafficInjection:
    """A fault of the load that has begun; `mark` is its history so far.

    Attributes:
        action: The fault, with its window: the schedule of the load has it at these moments, and no other.
        healed_s: When it was over, seconds since the origin; None while it is not.
        doses: What was counted, once every request is accounted for.
    """

    action: Scheduled
    healed_s: float | None = None
    doses: list[Dose] = field(default_factory=list)

    @property
    def fault_id(self) -> str:
        """Return what tells it from every other fault of the scenario."""
        return self.action.id

    def end(self, now_s: float) -> None:
        """Note that it is over: when its window is, or earlier, where the load was ended."""
        self.healed_s = min(now_s, self.action.ends_s)

    def mark(self) -> FaultMark:
        """Return what happened, as a value."""
        fault = self.action.spec
        return FaultMark(
            id=self.action.id,
            fault=str(fault),
            kind=fault.kind,
            target=fault.target,
            phase=self.action.phase,
            planned=(self.action.starts_s, self.action.ends_s),
            injected_s=self.action.starts_s,
            healed_s=self.healed_s,
            doses=tuple(self.doses),
        )
