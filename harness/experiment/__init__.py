"""One scenario lived through: a stack of its own, the load, the phases with their faults, and everything noted."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import DoomedError, HarnessError, SpecError
from harness.experiment.context import ProgressListener, RunContext
from harness.experiment.recorder import Recorder
from harness.experiment.timeline import Timeline
from harness.experiment.traffic import TrafficInjection
from harness.faults.injection import check_available
from harness.faults.undo import WORK_PREFIX
from harness.history.failures import failure_of
from harness.layout import LOGS
from harness.load.engine import LoadPlan, apply_load
from harness.load.plan import connect_within_s
from harness.load.traffic import dose_of
from harness.spec.objective import tightest_s
from harness.stack.backends.choice import CONTAINERS, standing
from harness.stack.blueprint import Blueprint
from harness.stack.machine import Machine, MachineWatch, watching_machine
from harness.stack.service import Workspace
from harness.stack.stack import SUBJECT
from harness.verdict.validity import doomed_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.history.history import History
    from harness.load.engine import LoadResult, LoadRun
    from harness.plan import Plan
    from harness.stack.stack import Stack

__all__ = ["ProgressListener", "RunContext", "run_experiment"]


def run_experiment(
    plan: Plan,
    context: RunContext,
    folder: Path,
    *,
    on: Stack | None = None,
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
            stands already can be told no `environment`.
        on_cut_short: Told what was seen until then, if the experiment is interrupted.
    """
    recorder = Recorder(context, seed=plan.seed, profile=plan.profile)
    try:
        check_available(plan.scenario.faults, context.backend, context.system)
        if on and plan.scenario.environment:
            what = "the service runs already, and hears of no variable"
            raise SpecError(what, where=f"{plan.path}: environment", fix="give the scenario a stack of its own")
        with nullcontext(on) if on else _standing(context, plan, folder) as stack:
            recorder.has_started(stack)
            _apply_load(plan, context, stack, recorder, folder)
    except (HarnessError, OSError) as error:
        recorder.has_failed(failure_of(error))
        recorder.salvage(folder)
    except KeyboardInterrupt as interruption:
        recorder.has_failed(failure_of(interruption))
        recorder.salvage(folder)
        on_cut_short(recorder.history())
        raise
    return recorder.history()


@contextmanager
def _standing(context: RunContext, plan: Plan, folder: Path) -> Iterator[Stack]:
    """Start the system in a fresh workspace, and remove it afterwards."""
    context.listener.message(f"{folder.name}: starting {context.system.name} ({context.backend})")
    work = Path(tempfile.gettempdir()) / f"{WORK_PREFIX}{context.run_id}-{folder.name}"
    logs = folder / LOGS
    logs.mkdir()
    entry = context.ledger.note("folder", work.name, path=str(work))
    work.mkdir()
    work.chmod(0o711)  # the unprivileged user of Postgres must be able to pass
    workspace = Workspace(
        run_id=context.run_id,
        project=context.project,
        logs=logs,
        work=work,
        on_spawn=context.ledger.note_process,
    )
    system = context.system.with_environment(plan.scenario.environment).with_standbys(plan.scenario.standbys)
    blueprint = Blueprint(system=system, seed=plan.seed, defect=context.defect, hidden=context.hidden)
    try:
        with (
            _noted_containers(context),
            standing(context.backend, blueprint, workspace=workspace, clock=context.clock) as stack,
        ):
            yield stack
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if not work.exists():
            context.ledger.strike(entry)


@contextmanager
def _noted_containers(context: RunContext) -> Iterator[None]:
    """Note in the ledger that there will be containers, until there are none any more."""
    if context.backend != CONTAINERS:
        yield
        return
    from harness.stack.backends.engine import address  # noqa: PLC0415 - a Docker client, only where it is needed

    entry = context.ledger.note("containers", context.run_id, engine=address())
    yield
    context.ledger.strike(entry)


def _apply_load(plan: Plan, context: RunContext, stack: Stack, recorder: Recorder, folder: Path) -> None:
    """Put the load on, and go through the phases under it."""
    load = LoadPlan(
        base_url=stack.base_url,
        load=plan.scenario.load,
        lasts_s=plan.scenario.longest_s,
        seed=plan.seed,
        project=str(context.project),
        connect_within_s=connect_within_s(tightest_s(plan.scenario.objectives)),
        traffic=plan.scenario.traffic,
        compares_echoes=plan.scenario.compares_echoes,
        remembers=plan.scenario.remembers,
    )
    with ExitStack() as leaving:
        pressure = leaving.enter_context(
            apply_load(
                load,
                folder=folder,
                clock=context.clock,
                run_id=context.run_id,
                on_spawn=partial(context.ledger.note_process, "load"),
                on_ready=partial(_check_it_can_judge, plan),
            )
        )
        recorder.has_begun(pressure)
        leaving.enter_context(_watching_machine(context, stack, recorder))
        at_origin = {fault.target: stack.sent_bytes(fault.target) for fault in plan.scenario.faults if fault.target}
        course = Timeline(
            scenario=plan.scenario,
            confidence=plan.confidence,
            context=context,
            stack=stack,
            pressure=pressure,
            recorder=recorder,
            sent_bytes_at_origin=at_origin,
        )
        course.go()
        context.listener.message(f"{plan.name}: waiting for the last answers")
        recorder.has_ended(result := pressure.finish())
        _count_traffic(load, result, recorder)


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


@contextmanager
def _watching_machine(context: RunContext, stack: Stack, recorder: Recorder) -> Iterator[None]:
    """Note what the machine gives while inside; where that cannot be seen, say so once."""
    judged = [stack.services[name] for name in stack.replicas if name != SUBJECT]
    machine = Machine(judged, stack.services.values(), context.clock.now)
    if why := machine.why_not():
        recorder.note("machine", f"what the machine gives is not measured: {why}")
        yield
        return
    watch = MachineWatch(machine, recorder.origin_s)
    recorder.machine = watch.seconds
    with watching_machine(watch, context.clock.now):
        yield
