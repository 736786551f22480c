"""Faults of a resource: one file per kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from harness.faults.resource.cpu import CpuAction
from harness.faults.resource.descriptors import DescriptorsAction
from harness.faults.resource.memory import MemoryAction
from harness.spec.faults import Cpu, Descriptors, Memory

if TYPE_CHECKING:
    from harness.faults.action import Action
    from harness.spec.faults import ResourceFault


def resource_action(fault: ResourceFault) -> type[Action]:
    """Return what does a fault of this kind."""
    match fault:
        case Cpu():
            return CpuAction
        case Memory():
            return MemoryAction
        case Descriptors():
            return DescriptorsAction
        case _:
            assert_never(fault)
