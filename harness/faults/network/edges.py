"""What all faults of the network need of the edges that they hurt."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from harness.clock import SystemClock, is_met_within
from harness.errors import FaultError
from harness.faults.action import Observation
from harness.spec.faults.target import SILENCE_S, nothing_to_hit
from harness.stack.conversation import converse
from harness.stack.service import SERVICE_ANSWERS_WITHIN_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.spec.faults import NetworkFault
    from harness.stack.conversation import Heard
    from harness.stack.service import Edge
    from harness.stack.stack import Stack

COUNTED_WITHIN_S = 2.0
"""Toxiproxy counts what crossed a connection a little after its end."""


def edges_into(fault: NetworkFault, stack: Stack) -> tuple[Edge, ...]:
    """Return the edges that `fault` hurts.

    Raises:
        FaultError: If there are none; it lists what could be hit.
    """
    edges = stack.edges_into(fault.target)
    if not edges:
        known = sorted({edge.server for edge in stack.edges} | {edge.name for edge in stack.edges})
        fix = f"targets here: {', '.join(known)}"
        raise FaultError(nothing_to_hit(fault), where="the scenario's faults", fix=fix)
    return edges


def look_at(stack: Stack, edges: Sequence[Edge], look: Callable[[Edge], Observation]) -> Observation:
    """Look at all edges at the same time, since one look may take as long as several doses.

    It waits until the proxy has counted the looks, so that they do not pass for traffic.
    """
    before_bytes = client_bytes(stack, edges)
    with ThreadPoolExecutor(len(edges)) as pool:
        seen = list(pool.map(look, edges))
    settle(stack, edges, before_bytes)
    return Observation(all(each.is_delivered for each in seen), ", ".join(each.seen for each in seen))


def ask(stack: Stack, edge: Edge, *, within_s: float = SERVICE_ANSWERS_WITHIN_S) -> float:
    """Ask the service behind `edge` through it; return the seconds until its answer.

    What is asked is remembered, so that no look of the harness passes for traffic of the service, whichever fault is
    being looked at; but for a connection that was refused or cut, since nothing may have crossed it.

    Raises:
        OSError: See `Service.round_trip_s`.
    """
    service = stack.services[edge.server]
    try:
        took_s = service.round_trip_s(edge.listen, within_s=within_s)
    except TimeoutError:
        stack.proxy.note_question(edge.name, len(service.question))
        raise
    stack.proxy.note_question(edge.name, len(service.question))
    return took_s


def hear(
    stack: Stack,
    edge: Edge,
    question: bytes,
    *,
    within_s: float = SERVICE_ANSWERS_WITHIN_S,
    most_pieces: int | None = None,
) -> Heard:
    """Converse through `edge`, and remember what was asked, however it ends: the proxy took it before it cut.

    Where the proxy does not listen, an engine's published port may accept in its place: what it took is not counted.

    Raises:
        OSError: See `converse`; nothing is remembered then.
    """
    heard = converse(edge.listen, question, within_s=within_s, most_pieces=most_pieces)
    if stack.proxy.is_enabled(edge.name):
        stack.proxy.note_question(edge.name, len(question))
    return heard


def why_silent_itself(stack: Stack, edge: Edge) -> str | None:
    """Say that the service behind `edge` answers nothing, with no proxy between: that is another fault than a cut path.

    None if it answers.
    """
    service = stack.services[edge.server]
    try:
        service.round_trip_s(service.direct, within_s=SILENCE_S)
    except OSError:
        return f"so is {service.name} itself"
    return None


def settle(stack: Stack, edges: Sequence[Edge], until_bytes: int) -> None:
    """Wait until the harness's own questions are counted by the proxy, so that they can be told from traffic.

    Raises:
        FaultError: If they never are: a proxy that does not count proves no traffic.
    """
    is_counted = is_met_within(
        lambda: client_bytes(stack, edges) >= until_bytes, deadline_s=COUNTED_WITHIN_S, clock=SystemClock()
    )
    if not is_counted:
        where, fix = ", ".join(edge.name for edge in edges), "see proxy.log: it must run with -proxy-metrics"
        raise FaultError("the fault proxy does not count what crosses it", where=where, fix=fix)


def client_bytes(stack: Stack, edges: Sequence[Edge]) -> int:
    """Return what clients have sent through `edges` so far, the harness's own questions aside."""
    return sum(stack.proxy.client_bytes(edge.name) for edge in edges)


def api_of(stack: Stack) -> dict[str, str | int]:
    """Return where the fault proxy is told to undo something, as facts for the ledger; one that is lent outlives us."""
    lent = {"lent": True} if stack.proxy.is_lent else {}
    return {"api_host": stack.proxy.api.host, "api_port": stack.proxy.api.port, **lent}
