"""`reload`: the load balancer reads its configuration again, which is done by new workers; the former finish.

As an operator or a controller does it whenever something behind it changes: SIGHUP to its main process, which lives on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.clock import is_met_within
from harness.faults.action import Observation
from harness.faults.process.service import service_of
from harness.spec.faults.target import RELOADS_WITHIN_S
from harness.stack.ready import wait_until_ready

if TYPE_CHECKING:
    from harness.faults.action import Site
    from harness.faults.ledger import Ledger
    from harness.spec.faults import Reload


class ReloadAction:
    """Tells a service once to read its configuration again.

    The ledger needs no entry of its own for this: workers are below a process that was noted when it started.
    """

    def __init__(self, fault: Reload, site: Site) -> None:
        self._service = service_of(fault, site.stack)
        self._clock = site.clock
        self._life = ""
        self._former: frozenset[int] = frozenset()

    @staticmethod
    def unavailable(backend: str) -> None:
        """Processes and containers alike can be signalled."""

    def begin(self, ledger: Ledger) -> None:  # noqa: ARG002 - see the class
        """Tell it to."""
        self._former, self._life = self._service.children(), self._service.life()
        self._service.reload()

    def observe(self) -> Observation:
        """See that its main process lives on, and as many new workers with it as it had; those may still finish."""
        service = self._service
        if not self._life:
            return Observation(is_delivered=False, seen=f"{service.name} was not told to read its configuration again")
        is_met_within(self._has_new_workers, deadline_s=RELOADS_WITHIN_S, clock=self._clock)
        if not service.is_alive() or service.life() != self._life:
            return Observation(is_delivered=False, seen=f"{service.name} ended, where its workers should have")
        now = service.children()
        new, former = len(now - self._former), len(now & self._former)
        said = f"{service.name} has {new} new of {len(self._former)} workers, and {former} of the former finish"
        return Observation(self._has_new_workers(), said)

    def crossed_bytes(self) -> None:
        """A signal hears nothing."""

    def end(self, ledger: Ledger) -> None:  # noqa: ARG002 - see the class
        """Leave it as it is, since it is as it was; see that it is ready."""
        if self._life:
            self._life = ""
            wait_until_ready([self._service], clock=self._clock)

    def _has_new_workers(self) -> bool:
        return bool(self._former) and len(self._service.children() - self._former) >= len(self._former)
