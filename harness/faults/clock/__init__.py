"""Faults of a clock: one file per kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.faults.clock.skew import ClockSkewAction

if TYPE_CHECKING:
    from harness.faults.action import Action
    from harness.spec.faults import ClockFault


def clock_action(fault: ClockFault) -> type[Action]:  # noqa: ARG001 - there is one kind; a second makes it a `match`
    """Return what does a fault of this kind."""
    return ClockSkewAction
