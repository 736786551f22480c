"""The folder in which servers keep what goes with a run."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from harness.clock import Clock

_WRITTEN_FOR_S = 2.0
"""How long what a server has left behind may go on writing: one with helpers of its own ends before they do."""

_AGAIN_AFTER_S = 0.05


def remove_work(folder: Path, clock: Clock) -> bool:
    """Remove a work folder whose servers have ended, and tell whether it is gone.

    What is written into it meanwhile keeps a folder from being removed, so that this is tried again for a while.
    """
    until_s = clock.now() + _WRITTEN_FOR_S
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return True
        if clock.now() >= until_s:
            return False
        clock.sleep(_AGAIN_AFTER_S)
