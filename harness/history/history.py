"""Everything that one experiment saw, as one value: the verdict is a function of it and the scenario, nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.history.echoes import Echoes, no_echoes
from harness.history.operations import Operations, no_operations
from harness.history.samples import Samples, no_samples

if TYPE_CHECKING:
    from harness.history.accounts import Account
    from harness.history.circuits import CircuitReport
    from harness.history.failures import Failure
    from harness.history.load import Heartbeat, LoadTally
    from harness.history.machine import MachineSecond
    from harness.history.marks import Beginning, Event, FaultMark, PhaseMark, PointMark, Startup


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What one experiment saw.

    Attributes:
        run_id: The run it belongs to.
        began_at: Wall-clock start, ISO 8601 in UTC; for people, never for arithmetic.
        seed: Of everything random in the run.
        backend: `embedded` or `containers`.
        profile: The profile of readiness.toml that stretched it; None in a history of schema 1, which did not say.
        defect: Id of the seeded defect that the subject was started with; None for the healthy service.
        samples: Every request.
        operations: What the remembered requests wrote and read.
        echoes: Whose answers the requests got that declare what must be echoed.
        accounts: What became of what was only accepted, in the order of acceptance.
        circuits: What replicas told of their circuit breakers, in order of time.
        tally: The load generator's own count; None if it never finished.
        heartbeats: One a second from the load generator.
        machine: What the machine gave, second by second; nothing where it was not measured.
        phases: In order of time.
        faults: In order of injection.
        points: Points that only the service can speak of, and whether they were reached.
        events: In order of time.
        startup: How long each part took to become ready, with its version.
        failures: Why the experiment itself broke off; any makes the verdict `error`.
        beginning: How it began, in a run whose stories share stacks; None in any other.
    """

    run_id: str
    began_at: str
    seed: int
    backend: str
    profile: str | None = None
    defect: str | None = None
    samples: Samples = field(default_factory=no_samples)
    operations: Operations = field(default_factory=no_operations)
    echoes: Echoes = field(default_factory=no_echoes)
    accounts: tuple[Account, ...] = ()
    circuits: tuple[CircuitReport, ...] = ()
    tally: LoadTally | None = None
    heartbeats: tuple[Heartbeat, ...] = ()
    machine: tuple[MachineSecond, ...] = ()
    phases: tuple[PhaseMark, ...] = ()
    faults: tuple[FaultMark, ...] = ()
    points: tuple[PointMark, ...] = ()
    events: tuple[Event, ...] = ()
    startup: tuple[Startup, ...] = ()
    failures: tuple[Failure, ...] = ()
    beginning: Beginning | None = None

    @property
    def continues(self) -> str:
        """Return the story whose end was this one's beginning; empty if it began on a fresh stack."""
        return self.beginning.after[-1] if self.beginning and self.beginning.after else ""

    @property
    def lasted_s(self) -> float:
        """Return when the last phase ended, or the last request was meant to start; 0.0 if nothing happened."""
        phases_s = max((mark.ended_s for mark in self.phases), default=0.0)
        samples_s = float(self.samples.records["intended_s"].max()) if len(self.samples) else 0.0
        return max(phases_s, samples_s, 0.0)

    def phase(self, name: str, *, after_s: float = 0.0) -> PhaseMark | None:
        """Return the mark of the phase `name`, its first seconds left out, or None if it was never reached."""
        return next((mark.after(after_s) for mark in self.phases if mark.name == name), None)

    def during(self, name: str, *, after_s: float = 0.0) -> Samples:
        """Return the requests that promises of the phase `name` are about: see `Samples.judged`; none if it never came.

        Args:
            name: The phase.
            after_s: What was meant to start in its first seconds is left out.
        """
        return self.all_during(name, after_s=after_s).judged()

    def all_during(self, name: str, *, after_s: float = 0.0) -> Samples:
        """Return all requests meant to start in the phase `name`, those included that no promise is about."""
        mark = self.phase(name, after_s=after_s)
        return self.samples.between(mark.began_s, mark.ended_s) if mark else no_samples()
