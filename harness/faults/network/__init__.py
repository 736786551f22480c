"""Faults of the network, done by the fault proxy on the edges into a target; one file per kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from harness.faults.network.blackhole import BlackholeAction
from harness.faults.network.down import DownAction
from harness.faults.network.edges import edges_into
from harness.faults.network.latency import LatencyAction
from harness.spec.faults import Blackhole, Down, Latency

if TYPE_CHECKING:
    from harness.faults.action import Action
    from harness.spec.faults import NetworkFault
    from harness.stack.stack import Stack


def network_action(fault: NetworkFault, fault_id: str, stack: Stack) -> Action:
    """Find out how `fault` is done on `stack`.

    Raises:
        FaultError: If its target is not there.
    """
    edges = edges_into(fault, stack)
    match fault:
        case Down():
            return DownAction(edges, stack)
        case Latency():
            return LatencyAction(fault, fault_id, edges, stack)
        case Blackhole():
            return BlackholeAction(fault_id, edges, stack)
        case _:
            assert_never(fault)


def why_not_on_the_network(fault: NetworkFault, backend: str) -> str | None:
    """See `Action.unavailable`."""
    match fault:
        case Down():
            return DownAction.unavailable(backend)
        case Latency():
            return LatencyAction.unavailable(backend)
        case Blackhole():
            return BlackholeAction.unavailable(backend)
        case _:
            assert_never(fault)
