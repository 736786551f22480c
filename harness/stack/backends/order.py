"""Commands that readiness.toml names for what runs elsewhere: run without a shell, with a time limit, and told from.

What such a command starts stays: a service that it brings back is nobody's child here. So its output goes to a file and
not to a pipe, which that service would keep open, and it carries no mark of the run, by which that would be ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.stack.backends.process import RUN_MARK, tied
from harness.stack.ready import TAIL, its_last_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.stack.elsewhere import Order

_UNASKED = (126, 127, 255)
"""Exit codes that say nothing of what was asked for: POSIX shells could not run it (sh, 2.8.2), or ssh could not reach
the machine (ssh(1), EXIT STATUS)."""

_WORDS_BYTES = 8192
"""Of the end of what a command wrote."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Attributes:
        status: Its exit code, below zero the signal that ended it; None if it took too long, and was ended for that.
        words: The last lines that it wrote.
        within_s: How long it might take.
    """

    status: int | None
    words: str
    within_s: float

    @property
    def is_well(self) -> bool:
        """Tell whether it did what it is for."""
        return self.status == 0

    @property
    def has_said_no(self) -> bool:
        """Tell whether it ran, and its answer is no; one that could not run or be reached has no answer."""
        return self.status is not None and self.status > 0 and self.status not in _UNASKED

    @property
    def last_words(self) -> str:
        """Return what is said to do where it failed: the last lines that it wrote."""
        return its_last_words(self.words)

    def __str__(self) -> str:
        if self.status is None:
            return f"took longer than {self.within_s:g} s"
        return f"exit {self.status}" if self.status >= 0 else f"ended by {signal.Signals(-self.status).name}"


def carry_out(order: Order, on_spawn: Callable[[int], object] = lambda _pid: None) -> Ended:
    """Run a command, and return how it ended; it dies with us, and does not hear a Ctrl-C that is meant for us.

    Call this from the main thread, as `spawn`.

    Args:
        order: What is run.
        on_spawn: Told its process id at once.
    """
    if not Path(order.folder).is_dir():
        return Ended(_UNASKED[1], f"there is no folder {order.folder} to run it in", order.within_s)
    environment = {name: value for name, value in os.environ.items() if name != RUN_MARK}
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            tied(order.argv),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            cwd=order.folder,
            env=environment,
            start_new_session=True,
        )
        try:
            on_spawn(child.pid)
            with suppress(subprocess.TimeoutExpired):
                child.wait(order.within_s)
        finally:
            status = child.poll()
            if status is None:
                _end(child)
        said.seek(max(0, said.seek(0, os.SEEK_END) - _WORDS_BYTES))
        words = said.read().decode("utf-8", "replace").splitlines()[-TAIL:]
    return Ended(status, "\n".join(words), order.within_s)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a command that takes too long, with what it has started in its session."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
