"""Which of two faults that are there together hides the other: a dose that cannot be seen proves nothing.

Asked of a plan, before anything starts. Two latencies add up and two cuts hold one edge together; but a late answer is
not seen where none comes, a process cannot be both frozen and dead, and a setting of a server has one value at a time.
"""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, assert_never

from harness.spec.faults import (
    Bandwidth,
    Blackhole,
    ClockFault,
    ConnectBlackhole,
    Connections,
    Cpu,
    DataFault,
    DiskFull,
    Down,
    Evict,
    Failover,
    Full,
    GreedyClient,
    HalfOpen,
    Latency,
    LimitData,
    LimitFault,
    PauseClients,
    ProcessFault,
    Reset,
    Slicer,
    StaleConnections,
    TrafficFault,
)
from harness.spec.faults.target import SILENCE_S
from harness.stack.blueprint import PROXY, edges_of, replicas_of
from harness.stack.stack import REPLICAS, leads_into, standby_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.spec.faults import Fault, NetworkFault, SystemFault
    from harness.spec.system import System
    from harness.spec.timeline import Scheduled

CUT = (Down, Blackhole, HalfOpen, Reset, ConnectBlackhole)
"""Kinds through which no answer comes on a new connection."""

BY_ITSELF = (PauseClients, Evict, Full, Connections, Failover, DiskFull)
"""Faults of a server's data beside which no other of it is seen: by no answer, no room for a mark or for a setting, no
connection, or because another server is there in the end."""

LATE_FROM_S = SILENCE_S / 2
"""An answer that comes so late is not told from silence, and a look at data that takes several of them has no end."""


def hidden(actions: Sequence[Scheduled], system: System) -> Iterator[tuple[Scheduled, Scheduled]]:
    """Return each action that another one hides, with that one, while both are there."""
    for one, other in permutations(actions, 2):
        together = one.starts_s < other.ends_s and other.starts_s < one.ends_s
        if together and _is_hidden(one.spec, other.spec, system):
            yield one, other


def promoted(actions: Sequence[Scheduled]) -> Iterator[tuple[Scheduled, Scheduled]]:
    """Return each action on a standby that is none any more, with the failover that promoted it.

    From then on it goes by the name of its component.
    """
    for one, other in permutations(actions, 2):
        if isinstance(other.spec, Failover) and one.starts_s >= other.ends_s:
            standby = standby_of(other.spec.target)
            is_again = isinstance(one.spec, Failover) and one.spec.target == other.spec.target
            if is_again or one.spec.target in (standby, f"{standby}.{other.spec.target}"):
                yield one, other


def _is_hidden(fault: Fault, other: Fault, system: System) -> bool:
    if isinstance(fault, TrafficFault):
        return _is_alike(fault, other)
    if isinstance(other, TrafficFault) or isinstance(fault, Cpu) or isinstance(other, Cpu):
        return False  # what strangers had is counted by the kernel, and all else is there beside them
    hit = _processes(other, system) if isinstance(other, ProcessFault | Failover) else set()
    if isinstance(fault, ProcessFault):
        return bool(hit & _processes(fault, system))
    if isinstance(fault, LimitFault | ClockFault):
        return fault.target in hit or (fault.target == other.target and _is_alike_or_unheard(fault, other))
    if isinstance(fault, DataFault):
        return _is_data_hidden(fault, other, system)
    return _is_path_hidden(fault, other, hit, system)


def _is_path_hidden(fault: NetworkFault, other: SystemFault, hit: set[str], system: System) -> bool:
    """Tell whether a fault of the network cannot be seen: nothing comes back, or not as the fault would have it.

    Args:
        fault: What is looked at through its edges.
        other: What is there beside it.
        hit: The processes that are not what they were because of that.
        system: Has the edges.
    """
    if isinstance(fault, Down):
        return PROXY in hit
    edges = _edges(fault.target, system)
    if isinstance(other, ProcessFault | Failover):
        return bool(hit & {PROXY, *(server for _, server in edges)})
    if isinstance(other, DataFault):
        return _is_unanswered(fault, other, {server for _, server in edges})
    if isinstance(other, LimitFault):  # a server without a descriptor answers no new connection
        return other.target in {server for _, server in edges}
    return isinstance(other, _hiding(fault)) and bool(edges & _edges(other.target, system))


def _hiding(fault: NetworkFault) -> tuple[type[NetworkFault], ...]:  # noqa: PLR0911 - one a kind
    """Return the kinds that hide `fault` on an edge that they share.

    Nothing is seen where nothing comes back. What is timed cannot be told from what else takes time, but for latencies,
    which are added up; and of two limits the stricter one is all that is seen.
    """
    match fault:
        case Down():
            return ()
        case ConnectBlackhole():
            return (Down,)
        case Latency():
            return (*CUT, Bandwidth, Slicer)
        case Blackhole():
            return (Down, HalfOpen, Reset, ConnectBlackhole)
        case HalfOpen():
            return (*CUT, Bandwidth, Slicer)
        case Reset() | StaleConnections():
            return CUT
        case Bandwidth() | Slicer():
            return (*CUT, Latency, Bandwidth, Slicer, LimitData)
        case LimitData():
            return (*CUT, Bandwidth, Slicer, LimitData)
        case _:
            assert_never(fault)


def _is_alike(fault: TrafficFault, other: Fault) -> bool:
    """Tell whether two faults of the load do the same, so that neither could be told from the other."""
    if isinstance(fault, GreedyClient) and isinstance(other, GreedyClient):
        return fault.asks == other.asks
    return fault.kind == other.kind


def _is_alike_or_unheard(fault: LimitFault | ClockFault, other: Fault) -> bool:
    """Tell whether two faults of one replica do the same, or one of them keeps it from telling its time."""
    return fault.kind == other.kind or (isinstance(fault, ClockFault) and isinstance(other, LimitFault))


def _is_data_hidden(fault: DataFault, other: SystemFault, system: System) -> bool:
    """Tell whether a fault of data cannot be seen: nothing comes back in time, or another one sets the same server."""
    if isinstance(other, DataFault):
        is_set_twice = fault.setting is not None and fault.setting == other.setting
        return other.target == fault.target and (is_set_twice or isinstance(other, BY_ITSELF))
    if isinstance(other, ProcessFault):
        return bool(_processes(other, system) & {PROXY, fault.target})
    if isinstance(other, LimitFault):
        return other.target == fault.target
    is_late = isinstance(other, Latency) and other.delay + other.jitter >= LATE_FROM_S
    is_hurt = is_late or isinstance(other, (*CUT, Bandwidth, Slicer, LimitData))
    return is_hurt and bool(_edges(fault.target, system) & _edges(other.target, system))


def _is_unanswered(fault: NetworkFault, other: DataFault, servers: set[str]) -> bool:
    """Tell whether a server behind the edges of `fault` keeps back the answer that a look at it needs.

    A long one takes a session of PostgreSQL, or a script of Redis, which a pause of writes holds back as well.
    """
    if other.target not in servers or not isinstance(other, PauseClients | Connections):
        return False
    takes_long = isinstance(fault, HalfOpen | Bandwidth | Slicer | LimitData)
    return takes_long or (isinstance(other, PauseClients) and other.blocks == "everything")


def _processes(fault: ProcessFault | Failover, system: System) -> set[str]:
    """Return the processes that are not what they were while `fault` is there."""
    if isinstance(fault, Failover):
        return {fault.target, standby_of(fault.target)}
    return set(replicas_of(system)) if fault.target == REPLICAS else {fault.target}


def _edges(target: str, system: System) -> set[tuple[str, str]]:
    return {(client, server) for client, server in edges_of(system) if leads_into(client, server, target)}
