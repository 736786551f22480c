"""What trouble is wished for: one frozen value per fault, in SI units, told apart by `kind`; one file per family.

A family is how a fault is done: by the fault proxy (`network`), or to a process (`process`).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

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
from harness.spec.faults.process import Kill, Pause, ProcessFault, SlowStart

__all__ = [
    "Bandwidth",
    "Blackhole",
    "ConnectBlackhole",
    "Down",
    "Fault",
    "HalfOpen",
    "Kill",
    "Latency",
    "LimitData",
    "NetworkFault",
    "Pause",
    "ProcessFault",
    "Reset",
    "Slicer",
    "SlowStart",
    "StaleConnections",
]

Fault = Annotated[NetworkFault | ProcessFault, Field(discriminator="kind")]
"""Any fault that a scenario may ask for."""
