"""Which of two faults that are there together hides the other: a dose that cannot be seen proves nothing.

Asked of a plan, before anything starts. Two latencies add up and two cuts hold one edge together; but a late answer is
not seen where none comes, and a process cannot be both frozen and dead.
"""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, assert_never

from harness.spec.faults import Blackhole, Down, Latency, ProcessFault
from harness.stack.blueprint import edges_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.spec.faults import Fault
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
    if isinstance(fault, ProcessFault):
        return isinstance(other, ProcessFault) and other.target == fault.target
    match fault:
        case Down():
            return isinstance(other, ProcessFault) and other.target == _PROXY
        case Latency():
            return _is_cut_off(fault, other, system, silent=(Down, Blackhole))
        case Blackhole():
            return _is_cut_off(fault, other, system, silent=(Down,))
        case _:
            assert_never(fault)


def _is_cut_off(fault: Latency | Blackhole, other: Fault, system: System, *, silent: tuple[type[Fault], ...]) -> bool:
    """Tell whether nothing comes back through an edge of `fault`, because of the edge or of what is behind it."""
    edges = _edges(fault.target, system)
    if isinstance(other, ProcessFault):
        return other.target in {_PROXY, *(server for _, server in edges)}
    return isinstance(other, silent) and bool(edges & _edges(other.target, system))


def _edges(target: str, system: System) -> set[tuple[str, str]]:
    return {(client, server) for client, server in edges_of(system) if target in (server, f"{client}.{server}")}
