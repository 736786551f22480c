"""One scenario lived through: a stack of its own, the load, the phases with their faults, and everything noted."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError, refusal
from harness.experiment.conditions import Conditions, Teller
from harness.experiment.course import Course
from harness.experiment.notebook import Notebook
from harness.faults.healing import WORK_PREFIX
from harness.load.engine import LoadPlan, pressing
from harness.load.plan import connect_within_s
from harness.spec.objective import tightest_s
from harness.stack.backend import CONTAINERS, standing
from harness.stack.blueprint import Blueprint
from harness.stack.service import Ground

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.history.history import History
    from harness.plan import Plan
    from harness.stack.stack import Stack

__all__ = ["Conditions", "Teller", "live_through"]


def live_through(
    plan: Plan,
    conditions: Conditions,
    folder: Path,
    *,
    on: Stack | None = None,
    on_cut_short: Callable[[History], object] = lambda _history: None,
) -> History:
    """Run `plan` once, and return what was seen; logs and raw samples go to `folder`.

    An error of the harness, or a refusal of the system, ends the experiment and stands in the history as a trouble; an
    interruption travels on. Either way everything is undone first.

    Args:
        plan: The scenario, as it is to be run, with its seed and how sure its verdict must be.
        conditions: What all experiments of the run have in common.
        folder: The experiment's own.
        on: What it is lived through on, where something stands already and stays; else on a stack of its own.
        on_cut_short: Told what was seen until then, if the experiment is interrupted.
    """
    notebook = Notebook(conditions, seed=plan.seed)
    try:
        with nullcontext(on) if on else _standing(conditions, plan.seed, folder) as stack:
            notebook.has_started(stack)
            _press(plan, conditions, stack, notebook, folder)
    except (HarnessError, OSError) as error:
        told = refusal(error) if isinstance(error, OSError) else error
        notebook.troubles.append(str(told))
        notebook.note("trouble", told.what)
        notebook.salvage(folder)
    except KeyboardInterrupt as interruption:
        notebook.troubles.append(f"the experiment was cut short: {interruption or 'interrupted'}")
        notebook.note("trouble", "cut short")
        notebook.salvage(folder)
        on_cut_short(notebook.history())
        raise
    return notebook.history()


@contextmanager
def _standing(conditions: Conditions, seed: int, folder: Path) -> Iterator[Stack]:
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
    blueprint = Blueprint(system=conditions.system, seed=seed, defect=conditions.defect, hidden=conditions.hidden)
    try:
        with (
            _noted_containers(conditions),
            standing(conditions.backend, blueprint, ground=ground, clock=conditions.clock) as stack,
        ):
            yield stack
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if not work.exists():
            conditions.ledger.strike(entry)


@contextmanager
def _noted_containers(conditions: Conditions) -> Iterator[None]:
    """Note in the ledger that there will be containers, until there are none any more."""
    if conditions.backend != CONTAINERS:
        yield
        return
    from harness.stack.engine import address  # noqa: PLC0415 - a Docker client, only where it is needed

    entry = conditions.ledger.note("containers", conditions.run_id, engine=address())
    yield
    conditions.ledger.strike(entry)


def _press(plan: Plan, conditions: Conditions, stack: Stack, notebook: Notebook, folder: Path) -> None:
    """Put the load on, and go through the phases under it."""
    load = LoadPlan(
        base_url=stack.base_url,
        load=plan.scenario.load,
        lasts_s=plan.scenario.longest_s,
        seed=plan.seed,
        project=str(conditions.project),
        connect_within_s=connect_within_s(tightest_s(plan.scenario.objectives)),
    )
    with pressing(
        load,
        folder=folder,
        clock=conditions.clock,
        run_id=conditions.run_id,
        on_spawn=partial(conditions.ledger.note_process, "load"),
    ) as pressure:
        notebook.has_begun(pressure)
        at_origin = {fault.target: stack.sent_bytes(fault.target) for fault in plan.scenario.faults}
        course = Course(
            scenario=plan.scenario,
            confidence=plan.confidence,
            conditions=conditions,
            stack=stack,
            pressure=pressure,
            notebook=notebook,
            sent_bytes_at_origin=at_origin,
        )
        course.go()
        conditions.teller.say(f"{plan.name}: waiting for the last answers")
        notebook.has_ended(pressure.finish())
