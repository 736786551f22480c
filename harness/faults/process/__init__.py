"""Faults of a process: one file per kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from harness.errors import FaultError
from harness.faults.process.kill import KillAction
from harness.faults.process.pause import PauseAction
from harness.faults.process.slow_start import SlowStartAction
from harness.spec.faults import Kill, Pause, SlowStart
from harness.spec.faults.target import nothing_to_hit

if TYPE_CHECKING:
    from harness.clock import Clock
    from harness.faults.action import Action
    from harness.spec.faults import ProcessFault
    from harness.stack.service import Service
    from harness.stack.stack import Stack


def process_action(fault: ProcessFault, stack: Stack, clock: Clock) -> Action:
    """Find out how `fault` is done on `stack`.

    Raises:
        FaultError: If its target is not there.
    """
    service = _service(fault, stack)
    match fault:
        case Kill():
            return KillAction(service, clock)
        case Pause():
            return PauseAction(service, clock)
        case SlowStart():
            return SlowStartAction(service, clock)
        case _:
            assert_never(fault)


def why_not_to_a_process(fault: ProcessFault, backend: str) -> str | None:
    """See `Action.unavailable`."""
    match fault:
        case Kill():
            return KillAction.unavailable(backend)
        case Pause():
            return PauseAction.unavailable(backend)
        case SlowStart():
            return SlowStartAction.unavailable(backend)
        case _:
            assert_never(fault)


def _service(fault: ProcessFault, stack: Stack) -> Service:
    service = stack.services.get(fault.target)
    if service is None:
        fix = f"targets here: {', '.join(sorted(stack.services))}"
        raise FaultError(nothing_to_hit(fault), where="the scenario's faults", fix=fix)
    return service
