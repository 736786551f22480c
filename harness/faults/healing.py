"""Undoing all that a ledger says is left, by what reads it: the guardian at once, `readiness heal` later."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from harness.errors import HarnessError
from harness.faults.undo import end_processes, is_held, undo
from harness.stack.backends.process import RUN_MARK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.faults.ledger import Kind, LedgerSnapshot

IN_TURN: tuple[tuple[Kind, ...], ...] = (
    ("toxic", "disabled", "paused"),
    ("redis-pause", "postgres-read-only", "postgres-sessions"),
    ("process",),
    ("containers",),
    ("folder",),
)
"""Faults come first, while the proxies still run, those of data when what was frozen answers again; then what runs;
then what it left behind."""


def heal(snapshot: LedgerSnapshot) -> list[str]:
    """Undo everything that `snapshot` has left, newest first within its kind; return what was undone, a line each.

    What cannot be undone keeps nothing else from being undone.

    Raises:
        HarnessError: The first one, if something could not be undone.
    """
    lines, errors = list[str](), list[HarnessError]()
    left = list(snapshot.left)
    for kinds in IN_TURN:
        for entry in [each for each in left if each.kind in kinds]:
            left.remove(entry)
            try:
                lines += [] if is_held(entry, left) else undo(entry)
            except HarnessError as error:
                errors.append(error)
        if "process" in kinds and not snapshot.is_closed:
            lines += _end_marked(snapshot.run_id, errors)
    if errors:
        raise errors[0]
    return lines


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
