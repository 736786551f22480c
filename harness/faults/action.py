"""The seam of this room: one fault, on one stack, as something that begins, is seen, and ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from harness.clock import Clock
    from harness.faults.ledger import Ledger
    from harness.stack.stack import Stack


@dataclass(frozen=True, slots=True)
class Site:
    """Where a fault is done.

    Attributes:
        fault_id: Tells it from every other fault of the scenario, also from one of the same kind on the same target.
        stack: What is hurt.
        clock: The time.
    """

    fault_id: str
    stack: Stack
    clock: Clock


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at a fault.

    Attributes:
        is_delivered: Whether what was seen is what was asked for, within the fault's tolerance.
        seen: What was seen, with numbers; the verdict repeats it.
    """

    is_delivered: bool
    seen: str


@runtime_checkable
class Continuing(Protocol):
    """What an action has besides that goes on while it is there: the next of its steps may be due."""

    def proceed(self) -> None:
        """Do what is due; called some ten times a second, and never waits for long.

        Raises:
            HarnessError: If it cannot be done.
        """


class Action(Protocol):
    """One fault, on one stack: how to bring it about, how to see it, how to take it back."""

    def __init__(self, fault: Any, site: Site) -> None:
        """Find what `fault`, of the kind that it does, hurts there.

        Raises:
            FaultError: If its target is not there: a fault that hits nothing must never look like a survived one.
        """

    @staticmethod
    def unavailable(backend: str) -> str | None:
        """Say why it cannot be done on `backend`, or on this machine; None if it can. Asked before anything starts."""

    def begin(self, ledger: Ledger) -> None:
        """Note it in the ledger, then do it.

        Raises:
            HarnessError: If it cannot be done; `end` is called then as well.
        """

    def observe(self) -> Observation:
        """Look at the dose through the door that the judged service uses."""

    def crossed_bytes(self) -> int | None:
        """Return what clients sent through the fault so far; None where a fault hears nothing."""

    def end(self, ledger: Ledger) -> None:
        """Undo it, wait until it is seen to be gone, and strike it from the ledger; harmless if it never began.

        Raises:
            FaultError: If it is still there.
        """
