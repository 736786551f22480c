"""Undoing all that a ledger says is left, by what reads it: the guardian at once, `readiness heal` later."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import psutil

from harness.clock import is_met_within
from harness.errors import FaultError, HarnessError
from harness.faults.ledger import read_ledger
from harness.faults.permission import NOTHING, check_permitted
from harness.faults.undo import end_processes, is_held, is_left, undo
from harness.layout import LEDGER_FILE, PAGES_LEDGER_FILE
from harness.stack.backends.process import RUN_MARK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.clock import Clock
    from harness.faults.ledger import Entry, Kind, LedgerSnapshot
    from harness.faults.permission import Permission

HEALED_WITHIN_S = 10.0
"""A guardian is done by then; see docs/healing.md."""

IN_TURN: tuple[tuple[Kind, ...], ...] = (
    ("toxic", "disabled", "paused", "limit", "clock", "disk"),
    ("redis-pause", "redis-memory", "postgres-read-only", "postgres-sessions"),
    ("process",),
    ("command",),
    ("containers",),
    ("folder",),
)
"""Faults come first, while the proxies still run, those of data when what was frozen answers again; then what runs, so
that no command that hurts goes on beside the one that undoes it; then that one, and what is left behind."""


def heal(snapshot: LedgerSnapshot, permission: Permission = NOTHING) -> list[str]:
    """Undo everything that `snapshot` has left, newest first within its kind; return what was undone, a line each.

    What cannot be undone keeps nothing else from being undone.

    Args:
        snapshot: What a ledger says.
        permission: What it may ask for elsewhere.

    Raises:
        HarnessError: The first one, if something could not be undone.
    """
    lines, errors = list[str](), list[HarnessError]()
    left = list(snapshot.left)
    for kinds in IN_TURN:
        for entry in [each for each in left if each.kind in kinds]:
            left.remove(entry)
            try:
                lines += [] if is_held(entry, left) else _undone(entry, snapshot, permission)
            except HarnessError as error:
                errors.append(error)
        if "process" in kinds and not snapshot.is_closed:
            lines += _end_marked(snapshot.run_id, errors)
    if errors:
        raise errors[0]
    return lines


def _undone(entry: Entry, snapshot: LedgerSnapshot, permission: Permission) -> list[str]:
    """Undo an entry, if it may be."""
    check_permitted(entry, snapshot.path, permission)
    return undo(entry)


def check_clean(out: Path, clock: Clock) -> None:
    """See that no run in a folder of runs has left anything behind; its guardian may be healing just now.

    What a dead run left would be a fault of the next one, and nobody's doing.

    Raises:
        FaultError: If one has; it names what, and the command that undoes it.
    """
    for path in sorted([*out.glob(f"*/{LEDGER_FILE}"), *out.glob(f"*/{PAGES_LEDGER_FILE}")]):
        is_clean = partial(_is_clean, path)
        if is_met_within(is_clean, deadline_s=HEALED_WITHIN_S, clock=clock, every_s=0.1):
            continue
        if left := _left_of(path):
            more = f", and {len(left) - 1} more" if len(left) > 1 else ""
            what = f"the run {path.parent.name} died and left something: {left[0]}{more}"
            raise FaultError(what, where=str(path), fix=f"undo it first: readiness heal --out {out}")


def _is_clean(path: Path) -> bool:
    return not _left_of(path)


def _left_of(path: Path) -> list[str]:
    """Return what a dead run has left of what it noted, and what shows its mark; nothing of one that is alive."""
    snapshot = read_ledger(path)
    if snapshot.is_closed or snapshot.is_running():
        return []
    left = [str(entry) for entry in snapshot.left if is_left(entry)]
    return left or [f"process {process.pid}" for process in marked_processes(snapshot.run_id)]


def _end_marked(run_id: str, errors: list[HarnessError]) -> list[str]:
    """End what was started and not yet noted when the run was killed."""
    try:
        return end_processes(list(marked_processes(run_id)), where=f"run {run_id}")
    except HarnessError as error:
        errors.append(error)
        return []


def marked_processes(run_id: str) -> Iterator[psutil.Process]:
    """Find every process, other than this one, that still shows the mark of the run.

    Servers that write their own title over their environment (redis, nginx) do not; the ledger names those.
    """
    this = psutil.Process().pid
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != this and process.environ().get(RUN_MARK) == run_id:
                yield process
