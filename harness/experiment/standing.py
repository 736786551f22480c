"""What an experiment is lived through on: the system in a fresh workspace, gone afterwards."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.faults.undo import WORK_PREFIX
from harness.spec.faults.data import disks_of
from harness.stack.backends.choice import CONTAINERS, standing
from harness.stack.blueprint import Blueprint
from harness.stack.service import Workspace
from harness.stack.work_folder import remove_work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.experiment.context import RunContext
    from harness.plan import Plan
    from harness.stack.stack import Stack


@contextmanager
def fresh_stack(
    context: RunContext,
    plan: Plan,
    *,
    logs: Callable[[Path], Path],
    on_leaving: Callable[[], object] = lambda: None,
) -> Iterator[Stack]:
    """Start the system in a fresh workspace, and remove it afterwards.

    Args:
        context: What all experiments of the run have in common.
        plan: Of the story that it is started for.
        logs: Told the workspace's folder, which goes with the stack; returns the one for logs, which is made.
        on_leaving: Told before the workspace goes.
    """
    context.listener.message(f"{plan.name}: starting {context.system.name} ({context.backend})")
    work = Path(tempfile.gettempdir()) / f"{WORK_PREFIX}{context.run_id}-{plan.name}"
    entry = context.ledger.note("folder", work.name, path=str(work))
    work.mkdir()
    work.chmod(0o711)  # the unprivileged user of Postgres must be able to pass
    (written := logs(work)).mkdir()
    workspace = Workspace(
        run_id=context.run_id,
        project=context.project,
        logs=written,
        work=work,
        on_spawn=context.ledger.note_process,
    )
    told = plan.scenario
    system = context.system.with_workers(told.workers).with_environment(told.environment).with_standbys(told.standbys)
    disks = disks_of(told.faults)
    blueprint = Blueprint(system=system, seed=plan.seed, defect=context.defect, hidden=context.hidden, disks=disks)
    try:
        with (
            _noted_containers(context),
            standing(context.backend, blueprint, workspace=workspace, clock=context.clock) as stack,
        ):
            yield stack
    finally:
        on_leaving()
        if remove_work(work, context.clock):
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
