"""Undoing what a ledger says is left, by whoever reads it: the guardian at once, `readiness heal` later.

Processes are ended only if they carry the run's mark in their environment: a process id that was given to somebody
else in the meantime does not. Undoing twice is harmless.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from harness.errors import FaultError, StackError
from harness.stack.process import RUN_MARK
from harness.stack.proxy import ProxyServer
from harness.stack.service import Address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.faults.ledger import Entry, Page

WORK_PREFIX = "readiness-"
"""Every work folder is `<temp>/readiness-<run id>`; nothing else is ever removed."""

_GONE_WITHIN_S = 5.0


def heal(page: Page) -> list[str]:
    """Undo everything that `page` has left, newest first; return what was undone, a line each.

    Faults come first, while the proxies still run; then every process that carries the run's mark; then folders.

    Raises:
        FaultError: If something could not be undone.
    """
    done = [line for entry in page.left for line in _undo_fault(entry)]
    done += _end_processes(page.run_id) if not page.is_closed else []
    done += [line for entry in page.left for line in _remove_folder(entry)]
    return done


def _undo_fault(entry: Entry) -> Iterator[str]:
    if entry.kind not in ("toxic", "disabled"):
        return
    facts = entry.facts
    server = ProxyServer(Address(facts["api_host"], int(facts["api_port"])))
    with suppress(StackError):  # a proxy that is gone hurts nobody
        if entry.kind == "toxic":
            server.remove(facts["edge"], facts["toxic"])
        else:
            server.enable(facts["edge"])
        yield f"healed {entry}"


def _end_processes(run_id: str) -> list[str]:
    marked = list(marked_processes(run_id))
    lines = [f"ended process {process.pid} ({_name(process)})" for process in marked]
    for process in marked:
        with suppress(psutil.NoSuchProcess):
            process.kill()  # psutil looks at the start time first
    _, alive = psutil.wait_procs(marked, timeout=_GONE_WITHIN_S)
    if alive:
        pids = ", ".join(str(process.pid) for process in alive)
        raise FaultError(
            f"processes {pids} would not end", where=f"run {run_id}", mend=f"end them by hand: kill -9 {pids}"
        )
    return lines


def marked_processes(run_id: str) -> Iterator[psutil.Process]:
    """Find every process, other than this one, that carries the mark of the run."""
    this = psutil.Process().pid
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != this and process.environ().get(RUN_MARK) == run_id:
                yield process


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return "gone"


def _remove_folder(entry: Entry) -> Iterator[str]:
    if entry.kind != "folder":
        return
    path = Path(entry.facts["path"])
    if not is_work_folder(path):
        raise FaultError(
            f"the ledger asks to remove {path}, which is no work folder", where=str(entry), mend="look at that ledger"
        )
    if path.exists():
        shutil.rmtree(path, ignore_errors=True)
        yield f"removed {path}"


def is_work_folder(path: Path) -> bool:
    """Tell whether `path` is a folder that a run may have made for its data."""
    return path.parent == Path(tempfile.gettempdir()) and path.name.startswith(WORK_PREFIX) and not path.is_symlink()
