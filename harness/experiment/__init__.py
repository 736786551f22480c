"""One scenario lived through: a stack of its own, the load, the phases with their faults, and everything noted."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from harness.errors import DoomedError, HarnessError, SpecError
from harness.experiment.circuits import ask_circuits
from harness.experiment.context import ProgressListener, RunContext
from harness.experiment.interim import InterimAnalysis
from harness.experiment.recorder import Recorder
from harness.experiment.settling import settled
from harness.experiment.shared import SharedStack
from harness.experiment.standing import fresh_stack
from harness.experiment.timeline import Timeline
from harness.experiment.traffic import TrafficInjection
from harness.faults.injection import check_available
from harness.history.failures import failure_of
from harness.layout import LOGS
from harness.load.engine import LoadPlan, apply_load
from harness.load.plan import connect_within_s
from harness.load.traffic import dose_of
from harness.spec.objective import tightest_s
from harness.stack.machine import Machine, MachineWatch, watching_machine
from harness.stack.stack import SUBJECT
from harness.verdict.sharing import but_for_before
from harness.verdict.validity import adds_below_s, doomed_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from harness.history.history import History
    from harness.history.marks import Beginning
    from harness.load.engine import LoadResult, LoadRun
    from harness.plan import Plan
    from harness.stack.stack import Stack

__all__ = ["ProgressListener", "RunContext", "SharedStack", "run_experiment"]


def run_experiment(
    plan: Plan,
    context: RunContext,
    folder: Path,
    *,
    on: Stack | None = None,
    shared: SharedStack | None = None,
    beginning: Beginning | None = None,
    on_cut_short: Callable[[History], object] = lambda _history: None,
) -> History:
    """Run `plan` once, and return what was seen; logs and raw samples go to `folder`.

    An error of the harness, or a refusal of the system, ends the experiment and stands in the history as a failure; an
    interruption travels on. Either way everything is undone first.

    Args:
        plan: The scenario, as it is to be run, with its seed and how sure its verdict must be.
        context: What all experiments of the run have in common.
        folder: The experiment's own.
        on: What it is lived through on, where something stands already and stays; else on a stack of its own. What
            stands already can be told no `environment`, and has the workers that it has.
        shared: What has a stack for several stories, in a run that shares them.
        beginning: On what the story begins there.
        on_cut_short: Told what was seen until then, if the experiment is interrupted.
    """
    recorder = Recorder(context, seed=plan.seed, profile=plan.profile, beginning=beginning)
    try:
        check_available(plan.scenario.faults, context.backend, context.system.with_workers(plan.scenario.workers))
        _check_it_can_be_told(plan, on)
        _load_plan(plan, context, "", loads_before=0).environment(context.given)  # asked before anything starts
        with _standing(context, plan, folder, on, shared) as stack:
            recorder.has_started(stack)
            _apply_load(plan, context, stack, recorder, folder, counting=shared.counting if shared else _uncounted)
    except (HarnessError, OSError) as error:
        recorder.has_failed(failure_of(error))
        recorder.salvage(folder)
    except KeyboardInterrupt as interruption:
        recorder.has_failed(failure_of(interruption))
        recorder.salvage(folder)
        on_cut_short(recorder.history())
        raise
    return recorder.history()


def _standing(
    context: RunContext, plan: Plan, folder: Path, on: Stack | None, shared: SharedStack | None
) -> AbstractContextManager[Stack]:
    """Return what the experiment is lived through on: what stands already and stays, or a stack of its own."""
    if on is not None:
        return nullcontext(on)
    if shared is not None:
        return shared.standing(plan, folder)
    return fresh_stack(context, plan, logs=lambda _work: folder / LOGS)


def _check_it_can_be_told(plan: Plan, on: Stack | None) -> None:
    """See that what stands already is not to be started otherwise.

    Raises:
        SpecError: If it is.
    """
    told = {
        "environment": (plan.scenario.environment, "the service runs already, and hears of no variable"),
        "workers": (plan.scenario.workers, "the service runs already, with the workers that it has"),
    }
    for key, (said, what) in told.items():
        if on and said:
            raise SpecError(what, where=f"{plan.path}: {key}", fix="give the scenario a stack of its own")


def _uncounted(_phase: str) -> AbstractContextManager[None]:
    return nullcontext()


def _apply_load(
    plan: Plan,
    context: RunContext,
    stack: Stack,
    recorder: Recorder,
    folder: Path,
    *,
    counting: Callable[[str], AbstractContextManager[None]],
) -> None:
    """Put the load on, and go through the phases under it."""
    stories = recorder.beginning.after if recorder.beginning else ()
    load = _load_plan(plan, context, stack.base_url, loads_before=len(stories))
    judged = but_for_before(plan.scenario) if stories else plan.scenario
    with ExitStack() as leaving:
        pressure = leaving.enter_context(
            apply_load(
                load,
                folder=folder,
                clock=context.clock,
                run_id=context.run_id,
                environment=context.given,
                on_spawn=partial(context.ledger.note_process, "load"),
                on_ready=partial(_check_it_can_judge, plan),
            )
        )
        recorder.has_begun(pressure)
        leaving.enter_context(_watching_machine(context, stack, recorder))
        at_origin = {fault.target: stack.sent_bytes(fault.target) for fault in plan.scenario.faults if fault.target}
        timeline = Timeline(
            scenario=plan.scenario,
            interim=InterimAnalysis(judged, plan.confidence),
            context=context,
            stack=stack,
            pressure=pressure,
            recorder=recorder,
            sent_bytes_at_origin=at_origin,
            counting=counting,
        )
        timeline.go()
        context.listener.message(f"{plan.name}: waiting for the last answers")
        recorder.has_ended(result := pressure.finish())
        _count_traffic(load, result, recorder)
        ask_circuits(plan.scenario, context, stack, recorder)
        recorder.accounts = settled(plan, context, stack, recorder, result, mark=load.mark)


def _load_plan(plan: Plan, context: RunContext, base_url: str, *, loads_before: int) -> LoadPlan:
    """Return the load of a plan on a stack with this address, on which so many loads were before."""
    scenario = plan.scenario
    tight_s = tightest_s(scenario.objectives)
    return LoadPlan(
        base_url=base_url,
        load=scenario.load,
        lasts_s=scenario.longest_s,
        seed=plan.seed,
        project=str(context.project),
        connect_within_s=connect_within_s(tight_s),
        traffic=scenario.traffic,
        allowed_hosts=context.system.allowed_hosts,
        compares_echoes=scenario.compares_echoes,
        remembers=scenario.remembers,
        loads_before=loads_before,
        adds_below_s=None if tight_s is None else adds_below_s(tight_s),
        secrets=context.secrets,
        ca=_believed(context),
        keeps_accepted=scenario.settles_within_s > 0,
        told_apart=scenario.told_apart,
        variables=context.system.locust.inherited,
    )


def _believed(context: RunContext) -> str | None:
    """Return the file of those who are believed to be the judged service, on https."""
    ca = context.system.subject.ca
    return str(context.project / ca) if ca else None


def _check_it_can_judge(plan: Plan, load: LoadRun) -> None:
    """End what the calibration has doomed before its first request.

    Raises:
        DoomedError: If the generator adds too much by itself for the tightest promise.
    """
    why = doomed_by(load.overhead_p95_s or 0.0, tightest_s(plan.scenario.objectives))
    if why:
        raise DoomedError(
            f"the load generator cannot judge here: {why}",
            where=f"{plan.name}: before the first request",
            fix="run on a quieter machine",
        )


def _count_traffic(load: LoadPlan, result: LoadResult, recorder: Recorder) -> None:
    """Note the dose of each fault of the load, which only the account of all requests can tell."""
    windows, schedule = {each.id: each for each in load.traffic}, load.arrivals()
    for injection in recorder.injections:
        if isinstance(injection, TrafficInjection):
            window = windows[injection.fault_id]
            at_s = round(recorder.now_s(), 3)
            dose = dose_of(window, schedule, load.load, result.samples, recorder.heartbeats, seed=load.seed, at_s=at_s)
            injection.doses.append(dose)


def _doors(stack: Stack) -> dict[str, dict[int, str]]:
    """Return by which port each replica comes to what it depends on: through an edge that is its own."""
    doors: dict[str, dict[int, str]] = {}
    for edge in stack.edges:
        doors.setdefault(edge.client, {})[edge.client_address.port] = edge.server
    return doors


@contextmanager
def _watching_machine(context: RunContext, stack: Stack, recorder: Recorder) -> Iterator[None]:
    """Note what the machine gives while inside; where that cannot be seen, say so once."""
    judged = [stack.services[name] for name in stack.replicas if name != SUBJECT]
    machine = Machine(judged, stack.services.values(), context.clock.now, doors=_doors(stack))
    if why := machine.why_not():
        recorder.note("machine", f"what the machine gives is not measured: {why}")
        yield
        return
    watch = MachineWatch(machine, recorder.origin_s)
    recorder.machine = watch.seconds
    with watching_machine(watch, context.clock.now):
        yield
