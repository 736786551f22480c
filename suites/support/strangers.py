"""Strangers on this machine: processes that are none of a run's, and take its processors."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUSY = "import time\nuntil = time.monotonic() + 120\nwhile time.monotonic() < until: pass"
"""Ends by itself, should nothing end it."""


@contextmanager
def strangers(count: int) -> Iterator[None]:
    """Keep processors busy, each from a session of its own: a scheduler may share them out by session."""
    command = [sys.executable, "-c", _BUSY]
    with ExitStack() as ending:
        for _ in range(count):
            child = subprocess.Popen(command, start_new_session=True)
            ending.callback(child.wait)
            ending.callback(child.kill)
        yield
