"""Faults of data, done to a component through its own address; one file per kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from harness.faults.data.connections import ConnectionsAction
from harness.faults.data.disk_full import DiskFullAction
from harness.faults.data.evict import EvictAction
from harness.faults.data.failover import FailoverAction
from harness.faults.data.flush import FlushAction
from harness.faults.data.full import FullAction
from harness.faults.data.lock import LockAction
from harness.faults.data.long_transaction import LongTransactionAction
from harness.faults.data.pause_clients import PauseClientsAction
from harness.faults.data.read_only import ReadOnlyAction
from harness.spec.faults import (
    Connections,
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

if TYPE_CHECKING:
    from harness.faults.action import Action
    from harness.spec.faults import DataFault


def data_action(fault: DataFault) -> type[Action]:  # noqa: C901, PLR0911 - one a kind
    """Return what does a fault of this kind."""
    match fault:
        case Flush():
            return FlushAction
        case PauseClients():
            return PauseClientsAction
        case Evict():
            return EvictAction
        case Full():
            return FullAction
        case ReadOnly():
            return ReadOnlyAction
        case Lock():
            return LockAction
        case LongTransaction():
            return LongTransactionAction
        case Connections():
            return ConnectionsAction
        case DiskFull():
            return DiskFullAction
        case Failover():
            return FailoverAction
        case _:
            assert_never(fault)
