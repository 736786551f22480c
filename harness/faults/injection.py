"""Injecting a fault: noted before it is done, looked at while it is there, undone on every way out."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from harness.errors import HarnessError, UnavailableError
from harness.faults.action import Continuing, Site
from harness.faults.clock import clock_action
from harness.faults.data import data_action
from harness.faults.network import network_action
from harness.faults.process import process_action
from harness.faults.process.elsewhere import ElsewhereAction
from harness.faults.resource import resource_action
from harness.history.marks import Dose, FaultMark
from harness.spec.faults import (
    ClockFault,
    DataFault,
    Kill,
    NetworkFault,
    Pause,
    ProcessFault,
    ResourceFault,
    TrafficFault,
)
from harness.stack.backends.choice import CONTAINERS
from harness.stack.blueprint import why_out_of_reach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from harness.clock import Clock
    from harness.faults.action import Action
    from harness.faults.ledger import Ledger
    from harness.spec.faults import Fault, SystemFault
    from harness.spec.system import System
    from harness.stack.stack import Stack


def action_for(fault: SystemFault, site: Site) -> Action:
    """Find out how `fault` is done there.

    Raises:
        FaultError: If its target is not there.
    """
    if isinstance(fault, Kill | Pause) and fault.target in site.stack.elsewhere:
        return ElsewhereAction(fault, site)
    return _action_of(fault)(fault, site)


def unavailable(fault: Fault, backend: str) -> str | None:
    """Say why `fault` cannot be done on `backend`, or on this machine; None if it can. Nothing need run yet."""
    if isinstance(fault, TrafficFault):
        return None  # whatever the service runs on, its clients can do it
    return _action_of(fault).unavailable(backend)


def _action_of(fault: SystemFault) -> type[Action]:
    """Return what does a fault of this kind, by its family."""
    if isinstance(fault, NetworkFault):
        return network_action(fault)
    if isinstance(fault, ProcessFault):
        return process_action(fault)
    if isinstance(fault, DataFault):
        return data_action(fault)
    if isinstance(fault, ResourceFault):
        return resource_action(fault)
    if isinstance(fault, ClockFault):
        return clock_action(fault)
    assert_never(fault)


def check_available(faults: Iterable[Fault], backend: str, system: System) -> None:
    """See that every one of `faults` can be done to `system` on `backend`, before anything starts.

    Raises:
        UnavailableError: If one cannot; it tells each of them with its reason.
    """
    asked = [(fault, _why_not(fault, backend, system)) for fault in faults]
    reasons = [f"`{fault}`: {reason}" for fault, reason in asked if reason]
    if reasons:
        what = f"a fault of this scenario cannot be done here: {'; '.join(reasons)}"
        raise UnavailableError(
            what, where=f"backend {backend}", fix="run it where the fault can be done, or leave it out"
        )


def _why_not(fault: Fault, backend: str, system: System) -> str | None:
    """Say why a fault cannot be done to a system on a backend; None if it can."""
    if why := why_out_of_reach(fault, system):
        return why
    # Whether a borrowed proxy is Toxiproxy or ours is not known before it is asked; only what both do is counted upon.
    if system.subject.toxiproxy and isinstance(fault, NetworkFault) and unavailable(fault, CONTAINERS):
        return "no toxic of Toxiproxy does that; the harness's own proxies do: [system.subject.proxies]"
    return unavailable(fault, backend)


@dataclass
class Injection:
    """A fault that is there now; `mark` is its history so far.

    Attributes:
        planned: Its window, seconds since the run's origin; its end moves when its phase is extended.
    """

    fault: SystemFault
    fault_id: str
    phase: str
    planned: tuple[float, float]
    action: Action
    now_s: Callable[[], float]
    injected_s: float = 0.0
    healed_s: float | None = None
    doses: list[Dose] = field(default_factory=list)
    crossed_bytes: int | None = None
    before_bytes: int | None = None
    _begun_bytes: int | None = None

    def begin(self, ledger: Ledger) -> None:
        """Bring it about."""
        self.action.begin(ledger)
        self.injected_s = self.now_s()
        self._begun_bytes = self.action.crossed_bytes()

    def proceed(self) -> None:
        """Do what is due of one that goes on while it is there."""
        if isinstance(self.action, Continuing) and self.healed_s is None:
            self.action.proceed()

    def observe(self) -> Dose:
        """Look at the dose once more, and count what the service has sent through it so far."""
        observation = self.action.observe()
        self._count()
        dose = Dose(at_s=self.now_s(), is_delivered=observation.is_delivered, seen=observation.seen)
        self.doses.append(dose)
        return dose

    def end(self, ledger: Ledger) -> None:
        """Count for the last time, and undo it."""
        with suppress(HarnessError):  # to undo it matters more; what had been counted stands
            self._count()
        self.action.end(ledger)
        self.healed_s = self.now_s()

    def _count(self) -> None:
        now_bytes = self.action.crossed_bytes()
        if now_bytes is not None and self._begun_bytes is not None:
            self.crossed_bytes = now_bytes - self._begun_bytes

    def mark(self) -> FaultMark:
        """Return what happened, as a value."""
        return FaultMark(
            id=self.fault_id,
            fault=str(self.fault),
            kind=self.fault.kind,
            target=self.fault.target,
            phase=self.phase,
            planned=self.planned,
            injected_s=self.injected_s,
            healed_s=self.healed_s,
            doses=tuple(self.doses),
            crossed_bytes=self.crossed_bytes,
            before_bytes=self.before_bytes,
        )


@contextmanager
def injected(
    fault: SystemFault,
    *,
    fault_id: str = "fault-1",
    into: Stack,
    ledger: Ledger,
    clock: Clock,
    origin_s: float = 0.0,
    phase: str = "",
    planned: tuple[float, float] = (0.0, 0.0),
    sent_bytes_at_origin: int = 0,
) -> Iterator[Injection]:
    """Hurt `into` with `fault` while inside; its dose is looked at when the caller says so.

    Args:
        fault: What to do.
        fault_id: Tells it from every other fault of the scenario, also from one of the same kind on the same target.
        into: Where.
        ledger: Told before anything is done.
        clock: Times are its seconds since `origin_s`.
        origin_s: The run's origin on `clock`.
        phase: The phase that the mark will name.
        planned: The window that the mark will name.
        sent_bytes_at_origin: What had been sent on the target's paths before the load began.

    Raises:
        FaultError: If the target is not there, or the fault cannot be done or undone.
    """
    action = action_for(fault, Site(f"{into.mark}{fault_id}", into, clock))
    injection = Injection(fault, fault_id, phase, planned, action, lambda: clock.now() - origin_s)
    try:
        if into.hears(fault.target):
            injection.before_bytes = into.sent_bytes(fault.target) - sent_bytes_at_origin
        injection.begin(ledger)
        yield injection
    finally:
        injection.end(ledger)
