"""One scenario lived through: a stack of its own, the load, the phases with their faults, and everything noted."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness.errors import HarnessError
from harness.faults.healing import WORK_PREFIX
from harness.faults.injection import injected
from harness.history.history import History
from harness.history.marks import Event, PhaseMark
from harness.history.samples import no_samples
from harness.load.engine import LoadPlan, pressing
from harness.load.plan import connect_within_s
from harness.spec.objective import tightest_s
from harness.spec.point import Measured
from harness.stack.embedded import embedded_stack
from harness.stack.lookout import Lookout, looking_out
from harness.stack.service import Ground

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.clock import Clock
    from harness.faults.injection import Injection
    from harness.faults.ledger import Ledger
    from harness.history.load import Heartbeat
    from harness.history.marks import PointMark
    from harness.load.engine import LoadResult, LoadRun
    from harness.spec.scenario import Phase, Scenario
    from harness.spec.system import System
    from harness.stack.stack import Stack

_POLL_S = 0.1


class Teller(Protocol):
    """Whoever tells people how far a run is."""

    def say(self, text: str) -> None:
        """Tell one step."""

    def beat(self, *, scenario: str, phase: str, elapsed_s: float, total_s: float, heartbeat: Heartbeat) -> None:
        """Tell how the load goes; about once a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What all experiments of a run have in common.

    Attributes:
        run_id: Marks every process.
        system: What is judged.
        project: The folder that the subject is imported from.
        backend: `embedded`.
        defect: Id of the seeded defect that the subject is started with; None for the healthy service.
        seed: Of everything random.
        ledger: Told before anything is done that must be undone.
        clock: The time.
        teller: Told how far it is.
    """

    run_id: str
    system: System
    project: Path
    backend: str
    defect: str | None
    seed: int
    ledger: Ledger
    clock: Clock
    teller: Teller


def live_through(plan: Scenario, conditions: Conditions, folder: Path) -> History:
    """Run `plan` once, and return what was seen; logs and raw samples go to `folder`.

    An error of the harness ends the experiment and stands in the history as a trouble; an interruption travels on.
    Either way everything is undone first.
    """
    notebook = _Notebook(conditions)
    try:
        with _standing(conditions, folder) as stack:
            notebook.has_started(stack)
            _press(plan, conditions, stack, notebook, folder)
    except HarnessError as error:
        notebook.troubles.append(str(error))
        notebook.note("trouble", error.what)
    return notebook.history()


@contextmanager
def _standing(conditions: Conditions, folder: Path) -> Iterator[Stack]:
    """Start the system on fresh ground, and clear the ground afterwards."""
    conditions.teller.say(f"{folder.name}: starting {conditions.system.name} ({conditions.backend})")
    work = Path(tempfile.gettempdir()) / f"{WORK_PREFIX}{conditions.run_id}-{folder.name}"
    logs = folder / "logs"
    logs.mkdir()
    entry = conditions.ledger.note("folder", work.name, path=str(work))
    work.mkdir()
    work.chmod(0o711)  # the unprivileged user of Postgres must be able to pass
    ground = Ground(
        run_id=conditions.run_id,
        project=conditions.project,
        logs=logs,
        work=work,
        on_spawn=conditions.ledger.note_process,
    )
    try:
        with embedded_stack(
            conditions.system, ground=ground, clock=conditions.clock, seed=conditions.seed, defect=conditions.defect
        ) as stack:
            yield stack
    finally:
        shutil.rmtree(work, ignore_errors=True)
        conditions.ledger.strike(entry)


def _press(plan: Scenario, conditions: Conditions, stack: Stack, notebook: _Notebook, folder: Path) -> None:
    """Put the load on, and go through the phases under it."""
    load = LoadPlan(
        base_url=stack.base_url,
        load=plan.load,
        lasts_s=plan.lasts_s,
        seed=conditions.seed,
        project=str(conditions.project),
        connect_within_s=connect_within_s(tightest_s(plan.objectives)),
    )
    with pressing(
        load,
        folder=folder,
        clock=conditions.clock,
        run_id=conditions.run_id,
        on_spawn=partial(conditions.ledger.note_process, "load"),
    ) as pressure:
        notebook.has_begun(pressure)
        at_origin = {fault.target: stack.sent_bytes(fault.target) for fault in plan.faults}
        course = _Course(plan, conditions, stack, pressure, notebook, at_origin)
        ends_s = 0.0
        for phase in plan.phases:
            ends_s += phase.lasts
            course.go_through(phase, ends_s)
        conditions.teller.say(f"{plan.scenario}: waiting for the last answers")
        notebook.has_ended(pressure.finish())


@dataclass(frozen=True, slots=True)
class _Course:
    """The way through the phases of one plan.

    Attributes:
        sent_bytes_at_origin: What had been sent on the paths of each fault's target before the load began.
    """

    plan: Scenario
    conditions: Conditions
    stack: Stack
    pressure: LoadRun
    notebook: _Notebook
    sent_bytes_at_origin: Mapping[str, int]

    def go_through(self, phase: Phase, ends_s: float) -> None:
        """Live through one phase: inject its faults, wait, look at them once more, heal them.

        A phase ends when the schedule says, so that the load, which is one for all phases, stays unchanged; the
        time that healing takes belongs to the next phase.
        """
        began_s = ends_s - phase.lasts
        self._wait_until(began_s, phase)
        self.notebook.note("phase", f"{phase.name} begins")
        with self.notebook.marking(phase.name, began_s, ends_s), ExitStack() as healing:
            lookout = self._lookout(phase)
            injections = [self._inject(phase, index, healing) for index in range(len(phase.faults))]
            looking_takes_s = 1.5 * (self.notebook.now_s() - began_s) if injections else 0.0
            with looking_out(lookout):
                self._wait_until(ends_s - looking_takes_s, phase)
            self.notebook.points.extend(lookout.marks)
            for injection in injections:
                injection.look()
            self._wait_until(ends_s, phase)

    def _lookout(self, phase: Phase) -> Lookout:
        points = [each for each in self.plan.sometimes if each.during == phase.name and isinstance(each, Measured)]
        replicas = self.stack.replicas if points else {}
        return Lookout(points, replicas, self.conditions.system.subject.metrics, self.notebook.now_s)

    def _inject(self, phase: Phase, index: int, healing: ExitStack) -> Injection:
        fault = phase.faults[index]
        healing.callback(self.notebook.note, "fault", f"{fault} healed")  # called after it is, being first
        context = injected(
            fault,
            into=self.stack,
            ledger=self.conditions.ledger,
            clock=self.conditions.clock,
            origin_s=self.notebook.origin_s,
            phase=phase.name,
            sent_bytes_at_origin=self.sent_bytes_at_origin.get(fault.target, 0),
        )
        injection = healing.enter_context(context)
        self.notebook.injections.append(injection)
        self.notebook.note("fault", f"{fault} injected: {injection.doses[-1].seen}", at_s=injection.injected_s)
        healing.callback(self.conditions.teller.say, f"{self.plan.scenario}: healing {fault}")
        return injection

    def _wait_until(self, at_s: float, phase: Phase) -> None:
        """Let the time pass, see to it that the load lives, and tell how it goes.

        Raises:
            LoadError: If the load generator died.
        """
        while True:
            self.pressure.check()
            for heartbeat in self.pressure.beats():
                self.notebook.heartbeats.append(heartbeat)
                self.conditions.teller.beat(
                    scenario=self.plan.scenario,
                    phase=phase.name,
                    elapsed_s=self.notebook.now_s(),
                    total_s=self.plan.lasts_s,
                    heartbeat=heartbeat,
                )
            left_s = at_s - self.notebook.now_s()
            if left_s <= 0:
                return
            self.conditions.clock.sleep(min(_POLL_S, left_s))


class _Notebook:
    """What is written down while an experiment is under way, also of one that breaks off."""

    def __init__(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self._stack: Stack | None = None
        self._result: LoadResult | None = None
        self._began_at = datetime.now(UTC)
        self._events: list[Event] = []
        self._phases: list[PhaseMark] = []
        self.origin_s = conditions.clock.now()
        self.heartbeats: list[Heartbeat] = []
        self.injections: list[Injection] = []
        self.points: list[PointMark] = []
        self.troubles: list[str] = []

    def now_s(self) -> float:
        """Return the seconds since the run's origin."""
        return self._conditions.clock.now() - self.origin_s

    def note(self, kind: str, text: str, *, at_s: float | None = None) -> None:
        """Write down what happens now, or happened at `at_s`."""
        self._events.append(Event(at_s=round(self.now_s() if at_s is None else at_s, 3), kind=kind, text=text))

    def has_started(self, stack: Stack) -> None:
        """Write down that the stack is ready."""
        self._stack = stack
        first_answer_s = max(part.began_s + part.took_s for part in stack.startup)
        self._conditions.teller.say(f"ready in {first_answer_s:.1f} s at {stack.base_url}")

    def has_begun(self, pressure: LoadRun) -> None:
        """Take the load's first intended moment as the origin of all times."""
        self.origin_s = pressure.begins_s
        self._began_at = datetime.now(UTC) - timedelta(seconds=self.now_s())
        if pressure.overhead_p95_s is not None:
            said = f"the generator itself adds {pressure.overhead_p95_s * 1000:.2f} ms at p95"
            self.note("load", said)
            self._conditions.teller.say(said)

    def has_ended(self, result: LoadResult) -> None:
        """Write down what the load generator counted."""
        self._result = result
        self.heartbeats.extend(result.heartbeats)
        self.note("load", "the load has ended and is accounted for")

    @contextmanager
    def marking(self, name: str, began_s: float, ends_s: float) -> Iterator[None]:
        """Write down when a phase was, also if it breaks off."""
        try:
            yield
        finally:
            self._phases.append(PhaseMark(name=name, began_s=began_s, ended_s=min(ends_s, self.now_s())))

    def history(self) -> History:
        """Return everything as one value."""
        return History(
            run_id=self._conditions.run_id,
            began_at=self._began_at.isoformat(timespec="milliseconds"),
            seed=self._conditions.seed,
            backend=self._conditions.backend,
            defect=self._conditions.defect,
            heartbeats=tuple(self.heartbeats),
            phases=tuple(self._phases),
            faults=tuple(injection.mark() for injection in self.injections),
            points=tuple(self.points),
            events=tuple(self._events),
            startup=self._stack.startup if self._stack else (),
            troubles=tuple(self.troubles),
            samples=self._result.samples if self._result else no_samples(),
            tally=self._result.tally if self._result else None,
        )
