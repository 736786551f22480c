"""Injecting a fault: noted before it is done, looked at while it is there, undone on every way out."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, assert_never

from harness.errors import FaultError
from harness.faults.network import DownAction, LatencyAction
from harness.faults.process import KillAction
from harness.history.marks import Dose, FaultMark
from harness.spec.fault import Down, Kill, Latency

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.clock import Clock
    from harness.faults.ledger import Ledger
    from harness.spec.fault import Fault
    from harness.stack.service import Edge, Service
    from harness.stack.stack import Stack


class Action(Protocol):
    """One fault, on one stack: how to bring it about, how to see it, how to take it back."""

    def begin(self, ledger: Ledger) -> None:
        """Note it in the ledger, then do it."""

    def observe(self) -> tuple[bool, str]:
        """Look at the dose through the door that the judged service uses; say whether it is there, and what is."""

    def crossed_bytes(self) -> int | None:
        """Return what was sent through the fault so far, by anybody; None where a fault refuses everything."""

    def end(self, ledger: Ledger) -> None:
        """Undo it, wait until it is seen to be gone, and strike it from the ledger; harmless if it never began.

        Raises:
            FaultError: If it is still there.
        """


def action_for(fault: Fault, stack: Stack, clock: Clock) -> Action:
    """Find out how `fault` is done on `stack`.

    Raises:
        FaultError: If its target is not there: a fault that hits nothing must never look like a survived one.
    """
    match fault:
        case Down():
            return DownAction(fault, _edges(fault, stack), stack)
        case Latency():
            return LatencyAction(fault, _edges(fault, stack), stack)
        case Kill():
            return KillAction(_service(fault, stack), stack, clock)
        case _:
            assert_never(fault)


@dataclass
class Injection:
    """A fault that is there now; `mark` is its history so far."""

    fault: Fault
    phase: str
    action: Action
    now_s: Callable[[], float]
    injected_s: float = 0.0
    healed_s: float | None = None
    doses: list[Dose] = field(default_factory=list)
    crossed_bytes: int | None = None
    before_bytes: int | None = None
    _counted_bytes: int | None = None

    def observe(self) -> Dose:
        """Look at the dose once more, and count what the service sent through it since the last look."""
        self._count()
        is_delivered, seen = self.action.observe()
        self._counted_bytes = self.action.crossed_bytes()  # our own questions are no traffic
        dose = Dose(at_s=self.now_s(), is_delivered=is_delivered, seen=seen)
        self.doses.append(dose)
        return dose

    def _count(self) -> None:
        now_bytes = self.action.crossed_bytes()
        if now_bytes is not None and self._counted_bytes is not None:
            self.crossed_bytes = (self.crossed_bytes or 0) + now_bytes - self._counted_bytes

    def mark(self) -> FaultMark:
        """Return what happened, as a value."""
        return FaultMark(
            fault=str(self.fault),
            kind=self.fault.kind,
            target=self.fault.target,
            phase=self.phase,
            injected_s=self.injected_s,
            healed_s=self.healed_s,
            doses=tuple(self.doses),
            crossed_bytes=self.crossed_bytes,
            before_bytes=self.before_bytes,
        )


@contextmanager
def injected(
    fault: Fault,
    *,
    into: Stack,
    ledger: Ledger,
    clock: Clock,
    origin_s: float = 0.0,
    phase: str = "",
    sent_bytes_at_origin: int = 0,
) -> Iterator[Injection]:
    """Hurt `into` with `fault` while inside; its dose is looked at once it is there.

    Args:
        fault: What to do.
        into: Where.
        ledger: Told before anything is done.
        clock: Times are its seconds since `origin_s`.
        origin_s: The run's origin on `clock`.
        phase: The phase that the mark will name.
        sent_bytes_at_origin: What had been sent on the target's paths before the load began.

    Raises:
        FaultError: If the target is not there, or the fault cannot be done or undone.
    """
    injection = Injection(fault, phase, action_for(fault, into, clock), lambda: clock.now() - origin_s)
    try:
        injection.before_bytes = into.sent_bytes(fault.target) - sent_bytes_at_origin
        injection.action.begin(ledger)
        injection.injected_s = injection.now_s()
        injection.observe()
        yield injection
    finally:
        injection.action.end(ledger)
        injection.healed_s = injection.now_s()


def _edges(fault: Down | Latency, stack: Stack) -> tuple[Edge, ...]:
    edges = stack.edges_into(fault.target)
    if not edges:
        known = sorted({edge.server for edge in stack.edges} | {edge.name for edge in stack.edges})
        raise _nothing_to_hit(fault, known)
    return edges


def _service(fault: Kill, stack: Stack) -> Service:
    service = stack.services.get(fault.target)
    if service is None:
        raise _nothing_to_hit(fault, sorted(stack.services))
    return service


def _nothing_to_hit(fault: Fault, known: list[str]) -> FaultError:
    return FaultError(
        f"the fault `{fault}` has nothing to hit: there is no {fault.target!r}",
        where="the scenario's faults",
        fix=f"targets here: {', '.join(known)}",
    )
