"""`rolling-restart`: all replicas are restarted one by one; the next when the one before has served again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.clock import is_met_within
from harness.errors import FaultError
from harness.faults.action import Observation
from harness.faults.process.restart import INSISTED_WITHIN_S, GracefulRestart
from harness.spec.faults.target import nothing_to_hit
from harness.stack.stack import REPLICA, REPLICAS

if TYPE_CHECKING:
    from harness.faults.action import Site
    from harness.faults.ledger import Ledger
    from harness.spec.faults import RollingRestart
    from harness.stack.service import Service
    from harness.stack.stack import Stack


class RollingRestartAction:
    """Restarts one replica after the other; the ledger needs no entry for this, as for `restart`."""

    def __init__(self, fault: RollingRestart, site: Site) -> None:
        self._services = _replicas(fault, site.stack)
        self._settles_s, self._clock = fault.settles, site.clock
        self._turns: list[GracefulRestart] = []
        self._looks = 0

    @staticmethod
    def unavailable(backend: str) -> None:
        """Processes and containers alike can be restarted."""

    def begin(self, ledger: Ledger) -> None:  # noqa: ARG002 - see the class
        """Ask the first to end."""
        self._next()

    def proceed(self) -> None:
        """Go on with the one whose turn it is; give the turn on when that has been ready for a while."""
        if self._turns and self._turns[-1].has_served(self._settles_s) and len(self._turns) < len(self._services):
            self._next()

    def observe(self) -> Observation:
        """See at the first look that the first one lives anew, and at any later one that all do and are ready."""
        if not self._turns:
            return Observation(is_delivered=False, seen=f"not one of the {len(self._services)} was asked to end")
        self._looks += 1
        so_far = self._turns[0].has_new_life if self._looks == 1 else self._are_all_ready
        is_so = is_met_within(so_far, deadline_s=INSISTED_WITHIN_S, clock=self._clock)
        said = "; ".join(map(str, self._turns))
        return Observation(is_so, f"{len(self._turns)} of {len(self._services)} had their turn: {said}")

    def crossed_bytes(self) -> None:
        """Nothing is heard by what is gone for a while."""

    def end(self, ledger: Ledger) -> None:  # noqa: ARG002 - see the class
        """Wait until those that had their turn are ready."""
        for turn in self._turns:
            turn.finish()
        self._turns.clear()

    def _next(self) -> None:
        self._turns.append(GracefulRestart(self._services[len(self._turns)], self._clock))

    def _are_all_ready(self) -> bool:
        self.proceed()
        return len(self._turns) == len(self._services) and all(turn.is_ready() for turn in self._turns)


def _replicas(fault: RollingRestart, stack: Stack) -> list[Service]:
    """Return the replicas in their order.

    Raises:
        FaultError: If there are none, or something else is meant.
    """
    found = [service for name, service in stack.services.items() if name.startswith(REPLICA)]
    if fault.target != REPLICAS or not found:
        raise FaultError(nothing_to_hit(fault), where="the scenario's faults", fix=f"targets here: {REPLICAS}")
    return found
