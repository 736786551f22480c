"""Which of two faults that are there together hides the other: a dose that cannot be seen proves nothing.

Asked of a plan, before anything starts. Two latencies add up and two cuts hold one edge together; but a late answer is
not seen where none comes, and a process cannot be both frozen and dead.
"""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, assert_never

from harness.spec.faults import (
    Bandwidth,
    Blackhole,
    ConnectBlackhole,
    Down,
    GreedyClient,
    HalfOpen,
    Latency,
    LimitData,
    ProcessFault,
    Reset,
    Slicer,
    StaleConnections,
    TrafficFault,
)
from harness.stack.blueprint import edges_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.spec.faults import Fault, NetworkFault
    from harness.spec.system import System
    from harness.spec.timeline import Scheduled

_PROXY = "proxy"
"""The service that every edge runs through: without it none can be looked at."""


def hidden(actions: Sequence[Scheduled], system: System) -> Iterator[tuple[Scheduled, Scheduled]]:
    """Return each action that another one hides, with that one, while both are there."""
    for one, other in permutations(actions, 2):
        together = one.starts_s < other.ends_s and other.starts_s < one.ends_s
        if together and _is_hidden(one.spec, other.spec, system):
            yield one, other


def _is_hidden(fault: Fault, other: Fault, system: System) -> bool:
    if isinstance(fault, TrafficFault):
        return _is_alike(fault, other)
    if isinstance(other, TrafficFault):
        return False
    if isinstance(fault, ProcessFault):
        return isinstance(other, ProcessFault) and other.target == fault.target
    if isinstance(fault, Down):
        return isinstance(other, ProcessFault) and other.target == _PROXY
    edges = _edges(fault.target, system)
    if isinstance(other, ProcessFault):
        return other.target in {_PROXY, *(server for _, server in edges)}
    return isinstance(other, _hiding(fault)) and bool(edges & _edges(other.target, system))


def _hiding(fault: NetworkFault) -> tuple[type[NetworkFault], ...]:  # noqa: PLR0911 - one a kind
    """Return the kinds that hide `fault` on an edge that they share.

    Nothing is seen where nothing comes back. What is timed cannot be told from what else takes time, but for latencies,
    which are added up; and of two limits the stricter one is all that is seen.
    """
    cut = (Down, Blackhole, HalfOpen, Reset, ConnectBlackhole)
    match fault:
        case Down():
            return ()
        case ConnectBlackhole():
            return (Down,)
        case Latency():
            return (*cut, Bandwidth, Slicer)
        case Blackhole():
            return (Down, HalfOpen, Reset, ConnectBlackhole)
        case HalfOpen():
            return (*cut, Bandwidth, Slicer)
        case Reset() | StaleConnections():
            return cut
        case Bandwidth() | Slicer():
            return (*cut, Latency, Bandwidth, Slicer, LimitData)
        case LimitData():
            return (*cut, Bandwidth, Slicer, LimitData)
        case _:
            assert_never(fault)


def _is_alike(fault: TrafficFault, other: Fault) -> bool:
    """Tell whether two faults of the load do the same, so that neither could be told from the other."""
    if isinstance(fault, GreedyClient) and isinstance(other, GreedyClient):
        return fault.asks == other.asks
    return fault.kind == other.kind


def _edges(target: str, system: System) -> set[tuple[str, str]]:
    return {(client, server) for client, server in edges_of(system) if target in (server, f"{client}.{server}")}
