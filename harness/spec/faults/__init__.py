"""What trouble is wished for: one frozen value per fault, in SI units, told apart by `kind`; one file per family.

A family is how a fault is done: by the fault proxy (`network`), to a process (`process`), to what a server holds and
grants (`data`), to what there is for all (`resource`), to the time that a replica goes by (`clock`), or by the load
itself (`traffic`).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from harness.spec.faults.clock import ClockFault, ClockSkew
from harness.spec.faults.data import (
    Connections,
    DataFault,
    DiskFull,
    Evict,
    Failover,
    Flush,
    Full,
    Lock,
    LongTransaction,
    PauseClients,
    ReadOnly,
)
from harness.spec.faults.network import (
    Bandwidth,
    Blackhole,
    ConnectBlackhole,
    Down,
    HalfOpen,
    Latency,
    LimitData,
    NetworkFault,
    Reset,
    Slicer,
    StaleConnections,
)
from harness.spec.faults.process import (
    CrashLoop,
    Kill,
    Pause,
    ProcessFault,
    Reload,
    Restart,
    RollingRestart,
    SlowStart,
)
from harness.spec.faults.resource import Cpu, Descriptors, LimitFault, Memory, ResourceFault
from harness.spec.faults.traffic import Cancellations, GreedyClient, HotKey, Retries, SlowReaders, Spike, TrafficFault

__all__ = [
    "Bandwidth",
    "Blackhole",
    "Cancellations",
    "ClockFault",
    "ClockSkew",
    "ConnectBlackhole",
    "Connections",
    "Cpu",
    "CrashLoop",
    "DataFault",
    "Descriptors",
    "DiskFull",
    "Down",
    "Evict",
    "Failover",
    "Fault",
    "Flush",
    "Full",
    "GreedyClient",
    "HalfOpen",
    "HotKey",
    "Kill",
    "Latency",
    "LimitData",
    "LimitFault",
    "Lock",
    "LongTransaction",
    "Memory",
    "NetworkFault",
    "Pause",
    "PauseClients",
    "ProcessFault",
    "ReadOnly",
    "Reload",
    "Reset",
    "ResourceFault",
    "Restart",
    "Retries",
    "RollingRestart",
    "Slicer",
    "SlowReaders",
    "SlowStart",
    "Spike",
    "StaleConnections",
    "SystemFault",
    "TrafficFault",
]

SystemFault = NetworkFault | ProcessFault | DataFault | ResourceFault | ClockFault
"""What is done to a part of the stack, and undone."""

Fault = Annotated[SystemFault | TrafficFault, Field(discriminator="kind")]
"""Any fault that a scenario may ask for."""
