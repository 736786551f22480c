"""The way through the moments of a scenario: phases begin and end, faults begin, are looked at, and are undone."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, assert_never

from harness.errors import AbortedError
from harness.experiment.circuits import about_to_be_lost, ask_circuits
from harness.experiment.phase import OpenPhase
from harness.experiment.traffic import TrafficInjection
from harness.faults.injection import Injection, injected
from harness.measure.abort import why_abort
from harness.measure.control import compute_s
from harness.spec.faults import TrafficFault
from harness.spec.quantity import duration_text
from harness.spec.sometimes import Measured
from harness.spec.timeline import Kind
from harness.stack.metric_watch import MetricWatch, ReplicaMetrics, watching
from harness.stack.prometheus import PrometheusSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from harness.experiment.context import RunContext
    from harness.experiment.interim import InterimAnalysis
    from harness.experiment.recorder import Recorder
    from harness.load.engine import LoadRun
    from harness.spec.abort import AbortWhen
    from harness.spec.phase import Phase
    from harness.spec.scenario import Scenario
    from harness.spec.timeline import Moment, Scheduled
    from harness.stack.metric_watch import Source
    from harness.stack.stack import Stack

_POLL_S = 0.1


class Timeline:
    """The way through the moments of one scenario, in one loop.

    Args:
        scenario: As it will be run.
        interim: Looks at what is promised of a phase while it lasts.
        context: What all experiments have in common.
        stack: What runs.
        pressure: The load that is on.
        recorder: Where everything is written down.
        sent_bytes_at_origin: What had been sent on the paths of each fault's target before the load began.
        counting: Entered for as long as a phase lasts, by its name.
    """

    def __init__(
        self,
        *,
        scenario: Scenario,
        interim: InterimAnalysis,
        context: RunContext,
        stack: Stack,
        pressure: LoadRun,
        recorder: Recorder,
        sent_bytes_at_origin: Mapping[str, int],
        counting: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self._scenario = scenario
        self._context = context
        self._stack = stack
        self._pressure = pressure
        self._recorder = recorder
        self._sent_bytes_at_origin = sent_bytes_at_origin
        self._interim = interim
        self._counting = counting
        first = scenario.phases[0]
        self._open = OpenPhase(first.name, 0.0, first.lasts)
        self._has_begun = False
        self._leaving = ExitStack()
        self._actions: dict[str, ExitStack] = {}
        self._extended_s = 0.0
        self._is_control_told = False

    def go(self) -> None:
        """Live through all moments, or until a promise is broken beyond doubt, and let the load end with the last.

        Whatever happens, on every way out each fault that is there is undone, what began last first.
        """
        with ExitStack() as undo:
            for moment in self._scenario.moments:
                self._wait_until(moment.at_s + self._extended_s)
                if self._open.was_stopped:
                    self._look_at_all()
                    break
                self._live(moment, undo)
        self._pressure.end_at(self._open.ends_s)

    def _live(self, moment: Moment, undo: ExitStack) -> None:
        match moment.kind:
            case Kind.PHASE_BEGINS:
                self._begin_phase(self._scenario.phases[moment.phase], undo)
            case Kind.BEGIN:
                self._begin(_of(moment), undo)
            case Kind.FIRST_LOOK | Kind.OBSERVE:
                self._observe(_of(moment))
            case Kind.REVIEW:
                self._extend_while_open(self._scenario.phases[moment.phase], moment.at_s)
            case Kind.PHASE_ENDS:
                self._leaving.close()
            case Kind.END:
                self._actions.pop(_of(moment).id).close()
            case _:
                assert_never(moment.kind)

    def _begin_phase(self, phase: Phase, undo: ExitStack) -> None:
        """Begin a phase; it ends when the schedule says, so that the load, which is one for all, stays unchanged."""
        begins_s = self._open.ends_s if self._has_begun else 0.0
        self._open, self._has_begun = OpenPhase(phase.name, begins_s, begins_s + phase.lasts), True
        self._recorder.note("phase", f"{phase.name} begins")
        self._leaving = undo.enter_context(ExitStack())
        self._leaving.enter_context(self._recorder.marking(self._open))
        self._leaving.enter_context(self._counting(phase.name))
        metric_watch = self._metric_watch(phase)
        self._leaving.callback(lambda: self._recorder.points.extend(metric_watch.marks))
        self._leaving.enter_context(watching(metric_watch))

    def _begin(self, action: Scheduled, undo: ExitStack) -> None:
        """Inject a fault; it is undone when its exit stack is closed, at its end or on the way out."""
        recorder, leaving = self._recorder, undo.enter_context(ExitStack())
        self._actions[action.id] = leaving
        if isinstance(action.spec, TrafficFault):
            recorder.note("fault", f"{action.spec} begins")
            leaving.callback(recorder.note, "fault", f"{action.spec} is over")
            recorder.injections.append(traffic := TrafficInjection(action))
            leaving.callback(lambda: traffic.end(recorder.now_s()))
            return
        lost = about_to_be_lost(action.spec, self._stack)
        ask_circuits(self._scenario, self._context, self._stack, recorder, of=lost)
        # An exit stack goes backwards: this is said last, when the fault is undone.
        leaving.callback(recorder.note, "fault", f"{action.spec} healed")
        injection = leaving.enter_context(
            injected(
                action.spec,
                fault_id=action.id,
                into=self._stack,
                ledger=self._context.ledger,
                clock=self._context.clock,
                origin_s=recorder.origin_s,
                phase=action.phase,
                planned=(action.starts_s + self._extended_s, action.ends_s + self._extended_s),
                sent_bytes_at_origin=self._sent_bytes_at_origin.get(action.spec.target, 0),
            )
        )
        recorder.injections.append(injection)
        leaving.callback(self._context.listener.message, f"{self._scenario.scenario}: healing {action.spec}")

    def _observe(self, action: Scheduled) -> None:
        injection = self._injection(action.id)
        dose, is_first = injection.observe(), len(injection.doses) == 1
        if is_first:
            self._recorder.note("fault", f"{action.spec} injected: {dose.seen}", at_s=injection.injected_s)

    def _injection(self, fault_id: str) -> Injection:
        return next(each for each in self._injections() if each.fault_id == fault_id)

    def _injections(self) -> list[Injection]:
        return [each for each in self._recorder.injections if isinstance(each, Injection)]

    def _look_at_all(self) -> None:
        """Look at every fault that is there before all is undone early: what was judged was judged under it."""
        for injection in self._injections():
            if injection.fault_id in self._actions:
                injection.observe()

    def _extend_while_open(self, phase: Phase, at_s: float) -> None:
        """Let a phase go on while its promises are open, and everything that follows come later by as much."""
        open_phase = self._open
        while open_phase.looks < self._scenario.looks and not open_phase.was_stopped and self._is_open(open_phase):
            longer_s = phase.lasts * 2 ** (open_phase.looks - 1)
            open_phase.looks += 1
            open_phase.ends_s += longer_s
            self._extended_s += longer_s
            for fault_id in self._actions:
                injection = self._injection(fault_id)
                injection.planned = (injection.planned[0], injection.planned[1] + longer_s)
            said = f"{phase.name} goes on for {duration_text(longer_s)}: its promises are neither kept nor broken yet"
            self._recorder.note("phase", said)
            self._context.listener.message(f"{self._scenario.scenario}: {said}")
            self._wait_until(at_s + self._extended_s)

    def _is_open(self, open_phase: OpenPhase) -> bool:
        mark = open_phase.mark(now_s=self._recorder.now_s())
        return self._interim.has_promises(mark) and self._interim.is_open(
            self._pressure.so_far(mark.began_s), mark, self._recorder.machine
        )

    def _metric_watch(self, phase: Phase) -> MetricWatch:
        points = [each for each in self._scenario.sometimes if each.during == phase.name and isinstance(each, Measured)]
        return MetricWatch(points, self._metric_source(has_points=bool(points)), self._recorder.now_s)

    def _metric_source(self, *, has_points: bool) -> Source:
        """Return who tells metrics: what collects them, where that is named, else the replicas; nobody if not asked."""
        subject = self._context.system.subject
        if subject.prometheus and has_points:
            token = subject.prometheus.token
            return PrometheusSource(subject.prometheus, self._context.hidden[token] if token else None)
        return ReplicaMetrics(self._stack.replicas if has_points else {}, subject.metrics)

    def _wait_until(self, at_s: float) -> None:
        """Let the time pass, see to the load and to faults that go on, and tell how it goes; early if all is lost.

        Raises:
            AbortedError: If the scenario gives up.
            LoadError: If the load generator died.
        """
        open_phase = self._open
        while not open_phase.was_stopped:
            self._pressure.check()
            for injection in self._injections():
                injection.proceed()
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
        if beats and not self._is_control_told:
            self._tell_control()
        if beats and self._scenario.abort_when:
            self._check_goes_on(self._scenario.abort_when)
        return bool(beats)

    def _check_goes_on(self, rule: AbortWhen) -> None:
        """Give up what is a mess; every fault is undone on the way out.

        Raises:
            AbortedError: If the last seconds were as the scenario says.
        """
        if why := why_abort(rule, self._recorder.heartbeats, self._recorder.machine):
            where, fix = f"{self._scenario.scenario}: abort_when", "see what went on in the report; all was undone"
            raise AbortedError(f"given up after {self._recorder.now_s():.1f} s: {why}", where=where, fix=fix)

    def _tell_control(self) -> None:
        """Let the control compute as the service does, once it is known how long that is for a request."""
        asked_s = compute_s(self._recorder.machine, self._recorder.heartbeats)
        if asked_s is not None:
            self._is_control_told = True
            self._pressure.compute(asked_s)
            self._recorder.note("machine", f"the service uses {asked_s * 1000:.1f} ms of processor time a request")

    def _stop_if_hopeless(self, open_phase: OpenPhase) -> None:
        now_s = self._recorder.now_s()
        mark = open_phase.mark(now_s=now_s)
        if not self._interim.has_promises(mark):
            return
        broken = self._interim.hopeless(self._pressure.so_far(mark.began_s), mark, self._recorder.machine)
        if broken is not None:
            open_phase.was_stopped, open_phase.ends_s = True, now_s
            self._recorder.note("phase", f"{open_phase.name} ends early: `{broken}` is broken beyond doubt")
            self._context.listener.message(
                f"{self._scenario.scenario}: `{broken}` is broken beyond doubt; ending early"
            )


def _of(moment: Moment) -> Scheduled:
    """Return what a moment is about that is not about the phase itself."""
    if moment.action is None:
        raise ValueError(f"a moment of the kind {moment.kind.name} is about an action, and names none")
    return moment.action
