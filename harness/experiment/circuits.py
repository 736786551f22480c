"""Asking the replicas what their circuit breakers went through: at the end of a run, and before one is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.spec.faults import Pause, ProcessFault
from harness.stack.circuits import circuit_report
from harness.stack.stack import REPLICAS

if TYPE_CHECKING:
    from collections.abc import Collection

    from harness.experiment.context import RunContext
    from harness.experiment.recorder import Recorder
    from harness.spec.faults import Fault
    from harness.spec.scenario import Scenario
    from harness.stack.stack import Stack


def ask_circuits(
    scenario: Scenario, context: RunContext, stack: Stack, recorder: Recorder, *, of: Collection[str] | None = None
) -> None:
    """Write down what replicas tell, where the scenario promises anything of it.

    Args:
        scenario: What is promised.
        context: What all experiments have in common.
        stack: What runs.
        recorder: Where it is written down.
        of: Which replicas; all of them, if that is None.
    """
    path = context.system.subject.breakers
    if path is None or not scenario.traces_breakers:
        return
    for name, address in stack.replicas.items():
        if of is None or name in of:
            recorder.circuits.append(circuit_report(name, address, path, recorder.now_s))


def about_to_be_lost(fault: Fault, stack: Stack) -> set[str]:
    """Return the replicas whose processes a fault ends: what they have not told by then, nobody knows any more."""
    if not isinstance(fault, ProcessFault) or isinstance(fault, Pause):
        return set()
    return {name for name in stack.replicas if fault.target in {name, REPLICAS}}
