"""Faults of a process: one file per kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from harness.faults.process.crash_loop import CrashLoopAction
from harness.faults.process.kill import KillAction
from harness.faults.process.pause import PauseAction
from harness.faults.process.reload import ReloadAction
from harness.faults.process.restart import RestartAction
from harness.faults.process.rolling_restart import RollingRestartAction
from harness.faults.process.slow_start import SlowStartAction
from harness.spec.faults import CrashLoop, Kill, Pause, Reload, Restart, RollingRestart, SlowStart

if TYPE_CHECKING:
    from harness.faults.action import Action
    from harness.spec.faults import ProcessFault


def process_action(fault: ProcessFault) -> type[Action]:  # noqa: PLR0911 - one for each kind
    """Return what does a fault of this kind."""
    match fault:
        case Kill():
            return KillAction
        case Pause():
            return PauseAction
        case SlowStart():
            return SlowStartAction
        case Restart():
            return RestartAction
        case RollingRestart():
            return RollingRestartAction
        case CrashLoop():
            return CrashLoopAction
        case Reload():
            return ReloadAction
        case _:
            assert_never(fault)
