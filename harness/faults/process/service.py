"""What all faults of a process need of the service that they hurt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import FaultError
from harness.spec.faults.target import nothing_to_hit

if TYPE_CHECKING:
    from harness.spec.faults import ProcessFault
    from harness.stack.service import Service
    from harness.stack.stack import Stack


def service_of(fault: ProcessFault, stack: Stack) -> Service:
    """Return the service that `fault` hurts.

    Raises:
        FaultError: If it is not there; it lists what could be hit.
    """
    service = stack.services.get(fault.target)
    if service is None:
        fix = f"targets here: {', '.join(sorted(stack.services))}"
        raise FaultError(nothing_to_hit(fault), where="the scenario's faults", fix=fix)
    return service
