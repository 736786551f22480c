"""The way through the phases of a scenario: each begins, is hurt, watched, looked at once more, and healed."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.experiment.glance import DOUBT_FOR_S, Glance
from harness.faults.injection import injected
from harness.history.marks import PhaseMark
from harness.spec.point import Measured
from harness.spec.quantity import duration_text
from harness.stack.lookout import Lookout, looking_out

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.experiment.conditions import Conditions
    from harness.experiment.notebook import Notebook
    from harness.faults.injection import Injection
    from harness.load.engine import LoadRun
    from harness.spec.scenario import Phase, Scenario
    from harness.stack.stack import Stack

_POLL_S = 0.1


@dataclass(slots=True)
class Stretch:
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


class Course:
    """The way through the phases of one scenario.

    Args:
        scenario: As it will be run.
        confidence: Of each one-sided bound.
        conditions: What all experiments have in common.
        stack: What runs.
        pressure: The load that is on.
        notebook: Where everything is written down.
        sent_bytes_at_origin: What had been sent on the paths of each fault's target before the load began.
    """

    def __init__(
        self,
        *,
        scenario: Scenario,
        confidence: float,
        conditions: Conditions,
        stack: Stack,
        pressure: LoadRun,
        notebook: Notebook,
        sent_bytes_at_origin: Mapping[str, int],
    ) -> None:
        self._scenario = scenario
        self._conditions = conditions
        self._stack = stack
        self._pressure = pressure
        self._notebook = notebook
        self._sent_bytes_at_origin = sent_bytes_at_origin
        self._glance = Glance(scenario, confidence)
        self._ends_s = 0.0
        self._extended_s = 0.0

    def go(self) -> None:
        """Live through all phases, or until a promise is broken beyond doubt, and let the load end with the last."""
        for phase in self._scenario.phases:
            if self._go_through(phase).was_stopped:
                break
        self._pressure.end_at(self._ends_s)

    def _go_through(self, phase: Phase) -> Stretch:
        """Live through one phase: inject its faults, watch, look at them once more, heal them.

        A phase ends when the schedule says, so that the load, which is one for all phases, stays unchanged; the
        time that healing takes belongs to the next phase.
        """
        stretch = Stretch(phase.name, self._ends_s, self._ends_s + phase.lasts)
        self._wait_until(stretch.began_s, stretch)
        self._notebook.note("phase", f"{phase.name} begins")
        with self._notebook.marking(stretch), ExitStack() as healing:
            lookout = self._lookout(phase)
            injections = [self._inject(phase, index, healing) for index in range(len(phase.faults))]
            looking_takes_s = 1.5 * (self._notebook.now_s() - stretch.began_s) if injections else 0.0
            with looking_out(lookout):
                self._watch(phase, stretch, looking_takes_s)
            self._notebook.points.extend(lookout.marks)
            for injection in injections:
                injection.look()
            self._wait_until(stretch.ends_s, stretch)
        self._ends_s = stretch.ends_s
        return stretch

    def _watch(self, phase: Phase, stretch: Stretch, looking_takes_s: float) -> None:
        """Let the phase go on until it is time for the last look at its faults; longer, while its promises are open."""
        self._wait_until(stretch.ends_s - looking_takes_s, stretch)
        while stretch.looks < self._scenario.looks and not stretch.was_stopped and self._is_open(stretch):
            longer_s = phase.lasts * 2 ** (stretch.looks - 1)
            stretch.looks += 1
            stretch.ends_s += longer_s
            self._extended_s += longer_s
            said = f"{phase.name} goes on for {duration_text(longer_s)}: its promises are neither kept nor broken yet"
            self._notebook.note("phase", said)
            self._conditions.teller.say(f"{self._scenario.scenario}: {said}")
            self._wait_until(stretch.ends_s - looking_takes_s, stretch)

    def _is_open(self, stretch: Stretch) -> bool:
        mark = stretch.mark(now_s=self._notebook.now_s())
        return self._glance.has_promises(mark) and self._glance.is_open(self._pressure.so_far(), mark)

    def _lookout(self, phase: Phase) -> Lookout:
        points = [each for each in self._scenario.sometimes if each.during == phase.name and isinstance(each, Measured)]
        replicas = self._stack.replicas if points else {}
        return Lookout(points, replicas, self._conditions.system.subject.metrics, self._notebook.now_s)

    def _inject(self, phase: Phase, index: int, healing: ExitStack) -> Injection:
        fault, notebook = phase.faults[index], self._notebook
        healing.callback(notebook.note, "fault", f"{fault} healed")  # called after it is, being first
        context = injected(
            fault,
            into=self._stack,
            ledger=self._conditions.ledger,
            clock=self._conditions.clock,
            origin_s=notebook.origin_s,
            phase=phase.name,
            sent_bytes_at_origin=self._sent_bytes_at_origin.get(fault.target, 0),
        )
        injection = healing.enter_context(context)
        notebook.injections.append(injection)
        notebook.note("fault", f"{fault} injected: {injection.doses[-1].seen}", at_s=injection.injected_s)
        healing.callback(self._conditions.teller.say, f"{self._scenario.scenario}: healing {fault}")
        return injection

    def _wait_until(self, at_s: float, stretch: Stretch) -> None:
        """Let the time pass, see to it that the load lives, and tell how it goes; returns early if all is lost.

        Raises:
            LoadError: If the load generator died.
        """
        while not stretch.was_stopped:
            self._pressure.check()
            if self._take_beats(stretch) and self._conditions.stops_early:
                self._stop_if_hopeless(stretch)
            left_s = at_s - self._notebook.now_s()
            if left_s <= 0:
                return
            self._conditions.clock.sleep(min(_POLL_S, left_s))

    def _take_beats(self, stretch: Stretch) -> bool:
        """Note the heartbeats that came, and tell them; say whether there were any."""
        beats = self._pressure.beats()
        for heartbeat in beats:
            self._notebook.heartbeats.append(heartbeat)
            self._conditions.teller.beat(
                scenario=self._scenario.scenario,
                phase=stretch.name,
                elapsed_s=self._notebook.now_s(),
                total_s=self._scenario.lasts_s + self._extended_s,
                heartbeat=heartbeat,
            )
        return bool(beats)

    def _stop_if_hopeless(self, stretch: Stretch) -> None:
        now_s = self._notebook.now_s()
        mark = stretch.mark(now_s=now_s)
        if mark.lasted_s < DOUBT_FOR_S or not self._glance.has_promises(mark):
            return
        broken = self._glance.hopeless(self._pressure.so_far(), mark)
        if broken is not None:
            stretch.was_stopped, stretch.ends_s = True, now_s
            self._notebook.note("phase", f"{stretch.name} ends early: `{broken}` is broken beyond doubt")
            self._conditions.teller.say(f"{self._scenario.scenario}: `{broken}` is broken beyond doubt; ending early")
