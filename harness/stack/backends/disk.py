"""Small disks of local processes: a file system in memory that nothing but its component sees, and that cannot stay."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from harness.clock import is_met_within
from harness.errors import StackError
from harness.stack.backends.process import last_lines, spawn
from harness.stack.disk import Disk

if TYPE_CHECKING:
    from harness.clock import Clock
    from harness.stack.service import Workspace

_KEEPER = str(Path(__file__).with_name("disk_keeper.py"))
_KEPT_WITHIN_S = 5.0
"""It takes 40 ms: two starts of an interpreter."""

_TRIED_BYTES = 4096


class KeptDisk:
    """A disk that is there for as long as this process, which keeps it, and those that have joined it.

    Args:
        name: Of the component that it is for.
        folder: Where that one has its data; empty.
        size_bytes: How much fits.
        user: Whom it belongs to; us if None.
        workspace: Where the process belongs.
    """

    def __init__(self, name: str, folder: Path, size_bytes: int, *, user: str | None, workspace: Workspace) -> None:
        self._folder = folder
        self._log = workspace.logs / f"{name}-disk.log"
        program = [sys.executable, "-I", "-S", _KEEPER, str(folder), str(size_bytes), *_owner(user), "keep"]
        self._child = spawn(program, workspace=workspace, log=self._log)
        workspace.on_spawn(f"{name}-disk", self._child.pid)

    @property
    def pid(self) -> int:
        """The process that keeps it."""
        return self._child.pid

    def wait(self, clock: Clock) -> Disk:
        """Return it when it is there.

        Raises:
            StackError: If it never is; it says why.
        """
        is_met_within(self._is_decided, deadline_s=_KEPT_WITHIN_S, clock=clock, every_s=0.005)
        if not self._is_mounted():
            why = last_lines(self._log, 1) or f"it is not there after {_KEPT_WITHIN_S:g} s"
            raise StackError(f"no small disk can be had: {why}", where=str(self._folder), fix="leave that fault out")
        started_s = psutil.Process(self.pid).create_time()
        return Disk(folder=str(self._folder), keeper={"pid": self.pid, "started_s": started_s})

    def kill(self) -> None:
        """End what keeps it; harmless if that has ended."""
        self._child.kill()
        self._child.wait()

    def _is_decided(self) -> bool:
        return self._child.poll() is not None or self._is_mounted()

    def _is_mounted(self) -> bool:
        try:
            mounts = Path(f"/proc/{self.pid}/mountinfo").read_text(encoding="utf-8")
        except OSError:  # it has ended
            return False
        return any(line.split()[4] == str(self._folder) for line in mounts.splitlines())


@cache
def why_no_disk() -> str | None:
    """Say why no small disk can be had for a local process on this machine; None if one can. It is tried once."""
    if sys.platform != "linux":
        return "only Linux gives a process disks of its own"
    program = [sys.executable, "-I", "-S", _KEEPER, tempfile.gettempdir(), str(_TRIED_BYTES), *_owner(None), "try"]
    tried = subprocess.run(program, capture_output=True, text=True, check=False, timeout=_KEPT_WITHIN_S)
    return (tried.stderr.strip() or f"exit {tried.returncode}") if tried.returncode else None


def _owner(user: str | None) -> tuple[str, str]:
    """Return the numbers of a user, and of its group."""
    if user is None:
        return str(os.getuid()), str(os.getgid())
    entry = pwd.getpwnam(user)
    return str(entry.pw_uid), str(entry.pw_gid)
