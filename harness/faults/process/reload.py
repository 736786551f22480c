"""`reload`: the load balancer reads its configuration again, which is done by new workers; the former finish.

As an operator or a controller does it whenever something behind it changes: SIGHUP to its main process, which lives on.
The configuration is the same one, or leaves out a replica until the fault ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.clock import is_met_within
from harness.errors import FaultError
from harness.faults.action import Observation
from harness.faults.process.service import service_of
from harness.spec.faults.target import RELOADS_WITHIN_S
from harness.stack import nginx
from harness.stack.ready import wait_until_ready

if TYPE_CHECKING:
    from harness.faults.action import Site
    from harness.faults.ledger import Ledger
    from harness.spec.faults import Reload


class ReloadAction:
    """Tells a service once to read its configuration again, and once more at its end if that had changed.

    The ledger needs no entry of its own for this: workers are below a process that was noted when it started, and the
    configuration is in the run's folder, or in its container.
    """

    def __init__(self, fault: Reload, site: Site) -> None:
        self._service, self._stack = service_of(fault, site.stack), site.stack
        self._clock = site.clock
        self._without = fault.without
        self._life = ""
        self._former: frozenset[int] = frozenset()

    @staticmethod
    def unavailable(backend: str) -> None:
        """Processes and containers alike can be signalled."""

    def begin(self, ledger: Ledger) -> None:  # noqa: ARG002 - see the class
        """Tell it to."""
        if self._without:
            self._stack.configure({self._without})
        self._reload()

    def observe(self) -> Observation:
        """See that its main process lives on, with a full set of new workers; the former may still finish.

        They may be those of several reloads: how many there were says nothing of how many there should be.
        """
        if not self._life:
            said = f"{self._service.name} was not told to read its configuration again"
            return Observation(is_delivered=False, seen=said)
        looks = list[Observation]()

        def is_seen() -> bool:
            looks.append(self._look())
            return looks[-1].is_delivered

        is_met_within(is_seen, deadline_s=RELOADS_WITHIN_S, clock=self._clock)
        return looks[-1]

    def crossed_bytes(self) -> None:
        """A signal hears nothing."""

    def end(self, ledger: Ledger) -> None:  # noqa: ARG002 - see the class
        """Have it ask all replicas again if it left one out, and see that it is ready.

        Raises:
            FaultError: If it goes on leaving one out.
        """
        if not self._life:
            return
        if self._without and self._service.is_alive():
            self._stack.configure(())
            self._reload()
            if not is_met_within(lambda: not self._is_left_out(), deadline_s=RELOADS_WITHIN_S, clock=self._clock):
                what = f"{self._service.name} goes on leaving out {self._without}"
                raise FaultError(what, where=str(self._service.direct), fix=f"see {self._service.name}.log")
        self._life = ""
        wait_until_ready([self._service], clock=self._clock)

    def _reload(self) -> None:
        self._former, self._life = self._service.children(), self._service.life()
        self._service.reload()

    def _look(self) -> Observation:
        service = self._service
        if not service.is_alive() or service.life() != self._life:
            return Observation(is_delivered=False, seen=f"{service.name} ended, where its workers should have")
        now = service.children()
        new, former = len(now - self._former), len(now & self._former)
        said = f"{service.name} has {new} new of {nginx.WORKERS} workers, and {former} of the former finish"
        if self._without is None:
            return Observation(new >= nginx.WORKERS, said)
        is_left_out = self._is_left_out()
        said += f"; it {'leaves out' if is_left_out else 'still asks'} {self._without}"
        return Observation(new >= nginx.WORKERS and is_left_out, said)

    def _is_left_out(self) -> bool:
        """Tell whether it says so itself: a new connection is a new worker's, or one's that still takes some."""
        (edge,) = self._stack.edges_into(f"{self._service.name}.{self._without}")
        try:
            return str(edge.client_address) not in nginx.shares(self._service.direct)
        except OSError:
            return False
