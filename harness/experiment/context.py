"""What all experiments of a run have in common, and the listener that is told how far they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.clock import Clock
    from harness.faults.ledger import Ledger
    from harness.history.load import Heartbeat
    from harness.spec.system import System


class ProgressListener(Protocol):
    """Tells people how far a run is."""

    def message(self, text: str) -> None:
        """Tell one step."""

    def heartbeat(self, *, scenario: str, phase: str, elapsed_s: float, total_s: float, heartbeat: Heartbeat) -> None:
        """Tell how the load goes; about once a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What all experiments of a run have in common.

    Attributes:
        run_id: Marks every process.
        system: What is judged.
        project: The folder that the subject is imported from.
        backend: `embedded` or `containers`.
        defect: Id of the seeded defect that the subject is started with; None for the healthy service.
        ledger: Told before anything is done that must be undone.
        clock: The time.
        listener: Told how far it is.
        hidden: Variables that each replica gets besides, whose values must never be written.
        secrets: Values of `{secret.NAME}` in requests, by name, which must never be written either.
        given: Variables of the caller that a locustfile gets, as far as they are set.
        stops_early: Whether an experiment ends as soon as one of its promises is broken beyond doubt.
    """

    run_id: str
    system: System
    project: Path
    backend: str
    defect: str | None
    ledger: Ledger
    clock: Clock
    listener: ProgressListener
    hidden: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    stops_early: bool = False
    given: Mapping[str, str] = field(default_factory=dict)
