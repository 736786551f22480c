"""A phase that is under way, before it becomes a mark in the history."""

from __future__ import annotations

from dataclasses import dataclass

from harness.history.marks import PhaseMark


@dataclass(slots=True)
class OpenPhase:
    """A phase that is under way; see `PhaseMark` for what it becomes."""

    name: str
    began_s: float
    ends_s: float
    looks: int = 1
    was_stopped: bool = False

    def mark(self, *, now_s: float) -> PhaseMark:
        """Return what it was, as far as it came."""
        ended_s = min(self.ends_s, now_s)
        return PhaseMark(
            name=self.name, began_s=self.began_s, ended_s=ended_s, looks=self.looks, was_stopped=self.was_stopped
        )
