"""The way through the phases of a scenario: each begins, is hurt, watched, looked at once more, and healed."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from harness.experiment.interim import DOUBT_FOR_S, InterimAnalysis
from harness.experiment.phase import OpenPhase
from harness.faults.injection import injected
from harness.spec.quantity import duration_text
from harness.spec.sometimes import Measured
from harness.stack.metric_watch import MetricWatch, watching

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.experiment.context import RunContext
    from harness.experiment.recorder import Recorder
    from harness.faults.injection import Injection
    from harness.load.engine import LoadRun
    from harness.spec.scenario import Phase, Scenario
    from harness.stack.stack import Stack

_POLL_S = 0.1


class Timeline:
    """The way through the phases of one scenario.

    Args:
        scenario: As it will be run.
        confidence: Of each one-sided bound.
        context: What all experiments have in common.
        stack: What runs.
        pressure: The load that is on.
        recorder: Where everything is written down.
        sent_bytes_at_origin: What had been sent on the paths of each fault's target before the load began.
    """

    def __init__(
        self,
        *,
        scenario: Scenario,
        confidence: float,
        context: RunContext,
        stack: Stack,
        pressure: LoadRun,
        recorder: Recorder,
        sent_bytes_at_origin: Mapping[str, int],
    ) -> None:
        self._scenario = scenario
        self._context = context
        self._stack = stack
        self._pressure = pressure
        self._recorder = recorder
        self._sent_bytes_at_origin = sent_bytes_at_origin
        self._interim = InterimAnalysis(scenario, confidence)
        self._ends_s = 0.0
        self._extended_s = 0.0

    def go(self) -> None:
        """Live through all phases, or until a promise is broken beyond doubt, and let the load end with the last."""
        for phase in self._scenario.phases:
            if self._go_through(phase).was_stopped:
                break
        self._pressure.end_at(self._ends_s)

    def _go_through(self, phase: Phase) -> OpenPhase:
        """Live through one phase: inject its faults, watch, look at them once more, heal them.

        A phase ends when the schedule says, so that the load, which is one for all phases, stays unchanged; the
        time that healing takes belongs to the next phase.
        """
        open_phase = OpenPhase(phase.name, self._ends_s, self._ends_s + phase.lasts)
        self._wait_until(open_phase.began_s, open_phase)
        self._recorder.note("phase", f"{phase.name} begins")
        with self._recorder.marking(open_phase), ExitStack() as healing:
            metric_watch = self._lookout(phase)
            injections = [self._inject(phase, index, open_phase, healing) for index in range(len(phase.faults))]
            looking_takes_s = 1.5 * (self._recorder.now_s() - open_phase.began_s) if injections else 0.0
            with watching(metric_watch):
                self._watch(phase, open_phase, looking_takes_s)
            self._recorder.points.extend(metric_watch.marks)
            for injection in injections:
                injection.observe()
            self._wait_until(open_phase.ends_s, open_phase)
        self._ends_s = open_phase.ends_s
        return open_phase

    def _watch(self, phase: Phase, open_phase: OpenPhase, looking_takes_s: float) -> None:
        """Let the phase go on until it is time for the last look at its faults; longer, while its promises are open."""
        self._wait_until(open_phase.ends_s - looking_takes_s, open_phase)
        while open_phase.looks < self._scenario.looks and not open_phase.was_stopped and self._is_open(open_phase):
            longer_s = phase.lasts * 2 ** (open_phase.looks - 1)
            open_phase.looks += 1
            open_phase.ends_s += longer_s
            self._extended_s += longer_s
            said = f"{phase.name} goes on for {duration_text(longer_s)}: its promises are neither kept nor broken yet"
            self._recorder.note("phase", said)
            self._context.listener.message(f"{self._scenario.scenario}: {said}")
            self._wait_until(open_phase.ends_s - looking_takes_s, open_phase)

    def _is_open(self, open_phase: OpenPhase) -> bool:
        mark = open_phase.mark(now_s=self._recorder.now_s())
        return self._interim.has_promises(mark) and self._interim.is_open(self._pressure.so_far(), mark)

    def _lookout(self, phase: Phase) -> MetricWatch:
        points = [each for each in self._scenario.sometimes if each.during == phase.name and isinstance(each, Measured)]
        replicas = self._stack.replicas if points else {}
        return MetricWatch(points, replicas, self._context.system.subject.metrics, self._recorder.now_s)

    def _inject(self, phase: Phase, index: int, open_phase: OpenPhase, healing: ExitStack) -> Injection:
        fault, recorder = phase.faults[index], self._recorder
        healing.callback(recorder.note, "fault", f"{fault} healed")  # called after it is, being first
        context = injected(
            fault,
            fault_id=f"fault-{len(recorder.injections) + 1}",
            into=self._stack,
            ledger=self._context.ledger,
            clock=self._context.clock,
            origin_s=recorder.origin_s,
            phase=phase.name,
            planned=(open_phase.began_s, open_phase.ends_s),
            sent_bytes_at_origin=self._sent_bytes_at_origin.get(fault.target, 0),
        )
        injection = healing.enter_context(context)
        recorder.injections.append(injection)
        recorder.note("fault", f"{fault} injected: {injection.doses[-1].seen}", at_s=injection.injected_s)
        healing.callback(self._context.listener.message, f"{self._scenario.scenario}: healing {fault}")
        return injection

    def _wait_until(self, at_s: float, open_phase: OpenPhase) -> None:
        """Let the time pass, see to it that the load lives, and tell how it goes; returns early if all is lost.

        Raises:
            LoadError: If the load generator died.
        """
        while not open_phase.was_stopped:
            self._pressure.check()
            if self._take_beats(open_phase) and self._context.stops_early:
                self._stop_if_hopeless(open_phase)
            left_s = at_s - self._recorder.now_s()
            if left_s <= 0:
                return
            self._context.clock.sleep(min(_POLL_S, left_s))

    def _take_beats(self, open_phase: OpenPhase) -> bool:
        """Note the heartbeats that came, and tell them; say whether there were any."""
        beats = self._pressure.beats()
        for heartbeat in beats:
            self._recorder.heartbeats.append(heartbeat)
            self._context.listener.heartbeat(
                scenario=self._scenario.scenario,
                phase=open_phase.name,
                elapsed_s=self._recorder.now_s(),
                total_s=self._scenario.lasts_s + self._extended_s,
                heartbeat=heartbeat,
            )
        return bool(beats)

    def _stop_if_hopeless(self, open_phase: OpenPhase) -> None:
        now_s = self._recorder.now_s()
        mark = open_phase.mark(now_s=now_s)
        if mark.lasted_s < DOUBT_FOR_S or not self._interim.has_promises(mark):
            return
        broken = self._interim.hopeless(self._pressure.so_far(), mark)
        if broken is not None:
            open_phase.was_stopped, open_phase.ends_s = True, now_s
            self._recorder.note("phase", f"{open_phase.name} ends early: `{broken}` is broken beyond doubt")
            self._context.listener.message(
                f"{self._scenario.scenario}: `{broken}` is broken beyond doubt; ending early"
            )
