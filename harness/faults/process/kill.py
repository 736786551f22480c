"""`kill`: the target's process gets SIGKILL; healing starts it again on the same address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.faults.action import Observation
from harness.faults.process.service import service_of
from harness.stack.ready import wait_until_ready

if TYPE_CHECKING:
    from harness.faults.action import Site
    from harness.faults.ledger import Ledger
    from harness.spec.faults import Kill


class KillAction:
    """Kills the process, and starts it again at its end.

    The ledger needs no entry of its own for this: a dead service hurts nothing once the run is over, and the one that
    healing starts is noted as a process when it starts.
    """

    def __init__(self, fault: Kill, site: Site) -> None:
        self._service = service_of(fault, site.stack)
        self._clock = site.clock
        self._has_begun = False

    @staticmethod
    def unavailable(backend: str) -> None:
        """Processes and containers alike can be killed."""

    def begin(self, ledger: Ledger) -> None:  # noqa: ARG002 - see the class
        """Kill it."""
        self._has_begun = True
        self._service.kill()

    def observe(self) -> Observation:
        """See that nothing answers at its address."""
        service = self._service
        try:
            service.round_trip_s(service.direct)
        except OSError as error:
            return Observation(not service.is_alive(), f"{service.name} is dead: {type(error).__name__}")
        return Observation(is_delivered=False, seen=f"{service.name} still answers at {service.direct}")

    def crossed_bytes(self) -> None:
        """Nothing is heard by what is dead."""

    def end(self, ledger: Ledger) -> None:  # noqa: ARG002 - see the class
        """Start it again, and wait until it is ready."""
        if self._has_begun and not self._service.is_alive():
            self._service.start()
            wait_until_ready([self._service], clock=self._clock)
