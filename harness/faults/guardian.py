"""Outlive the run, and undo what it left if it could not: `python -m harness.faults.guardian LEDGER PERMISSION`.

A process in a session of its own, whose standard input is a pipe that the run holds open and never writes to. When the
run ends, however it ends, the kernel closes the pipe; the guardian then reads the ledger, undoes what is left, and
goes. It carries no mark of the run, so that it never ends itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import FaultError, HarnessError
from harness.faults.healing import heal
from harness.faults.ledger import Ledger, close_ledger, read_ledger
from harness.faults.permission import NOTHING, permission_in
from harness.layout import GUARDIAN_LOG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.faults.permission import Permission

_GONE_WITHIN_S = 10.0


@contextmanager
def guarded(ledger: Path, permission: Permission = NOTHING) -> Iterator[None]:
    """Keep a guardian over `ledger` while inside, which may do so much elsewhere; return when it has seen the end."""
    reading, writing = os.pipe()
    with ledger.with_name(GUARDIAN_LOG).open("ab") as log:
        guardian = subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.faults.guardian", str(ledger), str(permission)],
            stdin=reading,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    os.close(reading)
    try:
        yield
    finally:
        os.close(writing)
        with suppress(subprocess.TimeoutExpired):
            guardian.wait(_GONE_WITHIN_S)


@contextmanager
def noted(path: Path, run_id: str) -> Iterator[Ledger]:
    """Keep a ledger of its own while inside, under a guardian; afterwards nothing that was noted or marked is left.

    Raises:
        FaultError: If a living process keeps it already, or something noted in it cannot be undone.
    """
    if path.is_file():
        _undo(path)
    ledger = Ledger(path, run_id)
    try:
        with guarded(path):
            yield ledger
    finally:
        _undo(path)


def _undo(path: Path) -> None:
    snapshot = read_ledger(path)
    if snapshot.is_running() and snapshot.pid != os.getpid():
        raise FaultError(
            "another process is at it already", where=str(path), fix=f"wait until process {snapshot.pid} has ended"
        )
    heal(snapshot)
    path.unlink()


def watch(ledger: Path, permission: Permission) -> int:
    """Wait for the end of the run, then undo what it left; return the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C is meant for the run; we are its last resort
    while sys.stdin.buffer.read(1):
        pass
    try:
        snapshot = read_ledger(ledger)
        for line in heal(snapshot, permission):
            print(line, flush=True)
        if not snapshot.is_closed:
            close_ledger(snapshot)
    except HarnessError as error:
        print(error, flush=True)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(watch(Path(sys.argv[1]), permission_in(sys.argv[2])))
