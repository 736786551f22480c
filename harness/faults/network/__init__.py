"""Faults of the network, done by the fault proxy on the edges into a target; one file per kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from harness.faults.network.blackhole import BlackholeAction
from harness.faults.network.down import DownAction
from harness.faults.network.latency import LatencyAction
from harness.spec.faults import Blackhole, Down, Latency

if TYPE_CHECKING:
    from harness.faults.action import Action
    from harness.spec.faults import NetworkFault


def network_action(fault: NetworkFault) -> type[Action]:
    """Return what does a fault of this kind."""
    match fault:
        case Down():
            return DownAction
        case Latency():
            return LatencyAction
        case Blackhole():
            return BlackholeAction
        case _:
            assert_never(fault)
