"""A program that ends by itself, such as `initdb` or a migration: awaited with a deadline, and gone on any way out."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from harness.clock import is_met_within
from harness.errors import NotReadyError
from harness.stack.backends.process import is_gone, last_lines, spawn
from harness.stack.ready import TAIL, its_last_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness.clock import Clock
    from harness.stack.service import Workspace


class Job:
    """A program under way, in a session of its own.

    Args:
        name: As messages call it.
        argv: Program and arguments; the program is an absolute path.
        workspace: Where it belongs.
        log: Gets its output.
        where: What messages name as its place.
        error: What it is if it fails.
        environment: Beside the few variables that every child gets.
        cwd: Where it runs; the stack's work folder if None.
        user: Unprivileged user to become; None to stay who we are.
        disk: The process that keeps a disk which it is to see; None for none.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        workspace: Workspace,
        log: Path,
        where: str,
        error: type[NotReadyError] = NotReadyError,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        disk: int | None = None,
    ) -> None:
        self._name = name
        self._log = log
        self._where = where
        self._error = error
        self._child = spawn(argv, workspace=workspace, log=log, environment=environment, cwd=cwd, user=user, disk=disk)
        workspace.on_spawn(name, self._child.pid)

    def wait(self, *, within_s: float, clock: Clock) -> None:
        """Wait until it has ended; what it may have left in its session ends with it.

        Raises:
            NotReadyError: If it failed or took longer, with its last words.
        """
        process = psutil.Process(self._child.pid)
        has_ended = is_met_within(lambda: is_gone(process), deadline_s=within_s, clock=clock, every_s=0.01)
        self.kill()
        if not has_ended:
            raise self._failed(f"took longer than {within_s:g} s")
        status = self._child.returncode
        if status:
            how = f"ended by {signal.Signals(-status).name}" if status < 0 else f"exit {status}"
            raise self._failed(f"failed ({how})")

    def kill(self) -> None:
        """End its whole session with SIGKILL, and return when it is gone; harmless if it is."""
        if self._child.returncode is not None:  # it was waited for, so its number may be another process's by now
            return
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def _failed(self, how: str) -> NotReadyError:
        words = its_last_words(last_lines(self._log, TAIL))
        return self._error(f"{self._name} {how}", where=self._where, fix=words)
