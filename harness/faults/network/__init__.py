"""Faults of the network, done by the fault proxy on the edges into a target; one file per kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from harness.faults.network.bandwidth import BandwidthAction
from harness.faults.network.blackhole import BlackholeAction
from harness.faults.network.connect_blackhole import ConnectBlackholeAction
from harness.faults.network.down import DownAction
from harness.faults.network.half_open import HalfOpenAction
from harness.faults.network.latency import LatencyAction
from harness.faults.network.limit_data import LimitDataAction
from harness.faults.network.reset import ResetAction
from harness.faults.network.slicer import SlicerAction
from harness.faults.network.stale_connections import StaleConnectionsAction
from harness.spec.faults import (
    Bandwidth,
    Blackhole,
    ConnectBlackhole,
    Down,
    HalfOpen,
    Latency,
    LimitData,
    Reset,
    Slicer,
    StaleConnections,
)

if TYPE_CHECKING:
    from harness.faults.action import Action
    from harness.spec.faults import NetworkFault


def network_action(fault: NetworkFault) -> type[Action]:  # noqa: C901, PLR0911 - one a kind
    """Return what does a fault of this kind."""
    match fault:
        case Down():
            return DownAction
        case Latency():
            return LatencyAction
        case Blackhole():
            return BlackholeAction
        case HalfOpen():
            return HalfOpenAction
        case Reset():
            return ResetAction
        case Bandwidth():
            return BandwidthAction
        case Slicer():
            return SlicerAction
        case LimitData():
            return LimitDataAction
        case ConnectBlackhole():
            return ConnectBlackholeAction
        case StaleConnections():
            return StaleConnectionsAction
        case _:
            assert_never(fault)
