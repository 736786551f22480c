"""One run at a time on a machine: two beside each other measure each other.

Whose turn it is says a lock on a file in the machine's folder for temporary files, which the kernel gives up with the
process that holds it, however that ends. Each user has one: others are strangers, and seen as such while a run lasts.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BesideError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.clock import Clock

LOOK_EVERY_S = 0.5
SAY_EVERY_S = 30.0


def place() -> Path:
    """Return where the lock of this user is."""
    return Path(tempfile.gettempdir()) / f"readiness-{os.getuid()}.lock"


@contextmanager
def turn(folder: Path, *, clock: Clock, wait_s: float, say: Callable[[str], None]) -> Iterator[None]:
    """Have the machine for one run, as long as this lasts.

    Args:
        folder: Of the run, which others are told.
        clock: The time.
        wait_s: How long another run is waited for.
        say: Told that and for whom one waits.

    Raises:
        BesideError: If another run has it all the time.
        OSError: If the lock cannot be kept where it belongs.
    """
    # Never through a link: the folder is everybody's.
    descriptor = os.open(place(), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        _take(file, clock=clock, wait_s=wait_s, say=say)
        file.seek(0)
        file.truncate()
        json.dump({"pid": os.getpid(), "folder": str(folder.resolve())}, file)
        file.flush()
        try:
            yield
        finally:
            file.seek(0)
            file.truncate()


def _take(file: Any, *, clock: Clock, wait_s: float, say: Callable[[str], None]) -> None:
    began_s = said_s = clock.now()
    is_first = True
    while not _is_mine(file):
        now_s, holder = clock.now(), _holder(file)
        if now_s - began_s >= wait_s:
            fix = "wait for it (--wait 30min does), or say --beside: what the other takes of the machine is told then"
            raise BesideError(f"another run is measuring on this machine: {holder}", where=str(place()), fix=fix)
        if is_first or now_s - said_s >= SAY_EVERY_S:
            say(f"waiting for another run on this machine: {holder}")
            is_first, said_s = False, now_s
        clock.sleep(LOOK_EVERY_S)


def _is_mine(file: Any) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(file: Any) -> str:
    """Say who has it; it may just be writing that."""
    file.seek(0)
    try:
        told = json.load(file)
        return f"process {told['pid']}, {told['folder']}"
    except (ValueError, KeyError, TypeError):
        return "one that has just begun"
