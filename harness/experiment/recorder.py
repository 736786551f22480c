"""What is written down while an experiment is under way, also of one that breaks off."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from harness.errors import LoadError
from harness.history.echoes import no_echoes
from harness.history.history import History
from harness.history.marks import Event, PhaseMark
from harness.history.operations import no_operations
from harness.history.samples import no_samples
from harness.load.recording import read_raw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.experiment.context import RunContext
    from harness.experiment.phase import OpenPhase
    from harness.experiment.traffic import TrafficInjection
    from harness.faults.injection import Injection
    from harness.history.accounts import Account
    from harness.history.circuits import CircuitReport
    from harness.history.failures import Failure
    from harness.history.load import Heartbeat
    from harness.history.machine import MachineSecond
    from harness.history.marks import Beginning, PointMark
    from harness.load.engine import LoadResult, LoadRun
    from harness.stack.stack import Stack


class Recorder:
    """What is written down while an experiment is under way, also of one that breaks off."""

    def __init__(self, context: RunContext, *, seed: int, profile: str, beginning: Beginning | None = None) -> None:
        self._context = context
        self.beginning = beginning
        self._seed = seed
        self._profile = profile
        self._stack: Stack | None = None
        self._result: LoadResult | None = None
        self._samples = no_samples()
        self._began_at = datetime.now(UTC)
        self._events: list[Event] = []
        self._phases: list[PhaseMark] = []
        self.origin_s = context.clock.now()
        self.heartbeats: list[Heartbeat] = []
        self.machine: list[MachineSecond] = []
        self.injections: list[Injection | TrafficInjection] = []
        self.points: list[PointMark] = []
        self.accounts: tuple[Account, ...] = ()
        self.circuits: list[CircuitReport] = []
        self._failures: list[Failure] = []

    def now_s(self) -> float:
        """Return the seconds since the run's origin."""
        return self._context.clock.now() - self.origin_s

    def note(self, kind: str, text: str, *, at_s: float | None = None) -> None:
        """Write down what happens now, or happened at `at_s`."""
        self._events.append(Event(at_s=round(self.now_s() if at_s is None else at_s, 3), kind=kind, text=text))

    def has_started(self, stack: Stack) -> None:
        """Write down that the stack is ready."""
        self._stack = stack
        if self.beginning and self.beginning.after:
            return
        began = [part.ready_s for part in stack.startup if part.ready_s is not None]
        ready = f"ready in {max(began):.1f} s at" if began else "it runs already, at"
        self._context.listener.message(f"{ready} {stack.base_url}")

    def has_begun(self, pressure: LoadRun) -> None:
        """Take the load's first intended moment as the origin of all times."""
        self.origin_s = pressure.begins_s
        self._began_at = datetime.now(UTC) - timedelta(seconds=self.now_s())
        if pressure.overhead_p95_s is not None:
            said = f"the generator itself adds {pressure.overhead_p95_s * 1000:.2f} ms at p95"
            self.note("load", said)
            self._context.listener.message(said)

    def has_ended(self, result: LoadResult) -> None:
        """Write down what the load generator counted."""
        self._result = result
        self.heartbeats.extend(result.heartbeats)
        self.note("load", "the load has ended and is accounted for")

    def has_failed(self, failure: Failure) -> None:
        """Write down why it broke off."""
        self._failures.append(failure)
        self.note("failure", failure.what)

    def salvage(self, folder: Path) -> None:
        """Keep the requests that were written down before the load broke off, if there are any."""
        if self._result is None:
            with suppress(LoadError):
                self._samples = read_raw(folder)

    @contextmanager
    def marking(self, open_phase: OpenPhase) -> Iterator[None]:
        """Write down when a phase was, also if it breaks off."""
        try:
            yield
        finally:
            self._phases.append(open_phase.mark(now_s=self.now_s()))

    def history(self) -> History:
        """Return everything as one value."""
        return History(
            run_id=self._context.run_id,
            began_at=self._began_at.isoformat(timespec="milliseconds"),
            seed=self._seed,
            backend=self._context.backend,
            profile=self._profile,
            defect=self._context.defect,
            heartbeats=tuple(self.heartbeats),
            machine=tuple(self.machine),
            phases=tuple(self._phases),
            faults=tuple(injection.mark() for injection in self.injections),
            points=tuple(self.points),
            events=tuple(self._events),
            startup=self._stack.startup if self._stack else (),
            failures=tuple(self._failures),
            beginning=self.beginning,
            samples=self._result.samples if self._result else self._samples,
            operations=self._result.operations if self._result else no_operations(),
            echoes=self._result.echoes if self._result else no_echoes(),
            accounts=self.accounts,
            circuits=tuple(self.circuits),
            tally=self._result.tally if self._result else None,
        )
