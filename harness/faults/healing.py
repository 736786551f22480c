"""Undoing what a ledger says is left, by whoever reads it: the guardian at once, `readiness heal` later.

A process is ended only if it started when the ledger says, or carries the run's mark in its environment: an id that was
given to somebody else in the meantime is left alone. Undoing twice is harmless.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from harness.clock import SystemClock, is_met_within
from harness.errors import FaultError, StackError
from harness.stack.backends.process import RUN_MARK, is_gone
from harness.stack.proxy import ProxyServer
from harness.stack.service import Address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.faults.ledger import Entry, LedgerSnapshot

WORK_PREFIX = "readiness-"
"""Every work folder is `<temp>/readiness-<run id>`; nothing else is ever removed."""

_GONE_WITHIN_S = 5.0

_SAME_START_S = 0.05
"""Start times are told in ticks of 10 ms."""


def heal(snapshot: LedgerSnapshot) -> list[str]:
    """Undo everything that `snapshot` has left, newest first; return what was undone, a line each.

    Faults come first, while the proxies still run; then the run's processes and containers; then folders.

    Raises:
        FaultError: If something could not be undone.
    """
    done = [line for entry in snapshot.left for line in _undo_fault(entry)]
    done += _end_processes(snapshot) if not snapshot.is_closed else []
    done += [line for entry in snapshot.left for line in _remove_containers(entry, snapshot.run_id)]
    done += [line for entry in snapshot.left for line in _remove_folder(entry)]
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


def _end_processes(snapshot: LedgerSnapshot) -> list[str]:
    """End the processes that the ledger names, all below them, and every other one that carries the run's mark."""
    ours = {*marked_processes(snapshot.run_id), *(each for entry in snapshot.left for each in _family(entry))}
    lines = [f"ended process {process.pid} ({_name(process)})" for process in ours if not is_gone(process)]
    for process in ours:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # what would not end is told below
            process.kill()  # psutil looks at the start time first
    if not is_met_within(lambda: all(map(is_gone, ours)), deadline_s=_GONE_WITHIN_S, clock=SystemClock()):
        pids = " ".join(str(process.pid) for process in ours if not is_gone(process))
        raise FaultError(
            f"processes {pids} would not end", where=f"run {snapshot.run_id}", fix=f"end them by hand: kill -9 {pids}"
        )
    return lines


def _family(entry: Entry) -> Iterator[psutil.Process]:
    """Find the process that an entry names, if it is still the same one, and all below it."""
    if entry.kind != "process":
        return
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(int(entry.facts["pid"]))
        if abs(process.create_time() - float(entry.facts["started_s"])) < _SAME_START_S:
            yield process
            yield from process.children(recursive=True)


def marked_processes(run_id: str) -> Iterator[psutil.Process]:
    """Find every process, other than this one, that still shows the mark of the run.

    Servers that write their own title over their environment (redis, nginx) do not; the ledger names those.
    """
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


def _remove_containers(entry: Entry, run_id: str) -> Iterator[str]:
    if entry.kind != "containers":
        return
    from harness.stack.backends import engine  # noqa: PLC0415 - most guardians never need a Docker client

    try:
        with closing(engine.connect(entry.facts["engine"])) as client:
            yield from engine.remove_all_of(run_id, client)
    except StackError as error:
        raise FaultError(error.what, where=f"{entry}", fix=error.fix) from error


def _remove_folder(entry: Entry) -> Iterator[str]:
    if entry.kind != "folder":
        return
    path = Path(entry.facts["path"])
    if not is_work_folder(path):
        raise FaultError(
            f"the ledger asks to remove {path}, which is no work folder", where=str(entry), fix="look at that ledger"
        )
    if path.exists():
        shutil.rmtree(path, ignore_errors=True)
        yield f"removed {path}"


def is_work_folder(path: Path) -> bool:
    """Tell whether `path` is a folder that a run may have made for its data."""
    return path.parent == Path(tempfile.gettempdir()) and path.name.startswith(WORK_PREFIX) and not path.is_symlink()
