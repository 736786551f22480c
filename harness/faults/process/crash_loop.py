"""`crash-loop`: the target is killed and started at once, again and again until the fault ends.

As a service looks that dies soon after each start, under an orchestrator that does not give up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import StackError
from harness.faults.action import Observation
from harness.faults.process.service import service_of
from harness.spec.quantity import duration_text
from harness.stack.ready import wait_until_ready

if TYPE_CHECKING:
    from harness.faults.action import Site
    from harness.faults.ledger import Ledger
    from harness.spec.faults import CrashLoop

MISSED_RATIO = 0.1
"""Of its deaths so many may be missing, or one: what else happens at that moment is waited for."""


class CrashLoopAction:
    """Kills and starts a service at the times of a grid; the ledger needs no entry for this, as for `kill`."""

    def __init__(self, fault: CrashLoop, site: Site) -> None:
        self._service = service_of(fault, site.stack)
        self._every_s = fault.every
        self._clock = site.clock
        self._began_s: float | None = None
        self._former = ""
        self._deaths = self._due = 0

    @staticmethod
    def unavailable(backend: str) -> None:
        """Processes and containers alike can be killed."""

    def begin(self, ledger: Ledger) -> None:  # noqa: ARG002 - see the class
        """Kill it for the first time."""
        self._former, self._began_s = self._service.life(), self._clock.now()
        self.proceed()

    def proceed(self) -> None:
        """Kill it if it is time to, once however late that is, and start it."""
        due = self._due_by_now()
        if due > self._due:
            self._due = due
            self._deaths += 1
            self._service.kill()
            self._service.start()

    def observe(self) -> Observation:
        """See that it has died as often as it should have by now, and lives another life than before."""
        if self._began_s is None:
            return Observation(is_delivered=False, seen=f"{self._service.name} is left alone")
        self.proceed()
        missing, may_miss = self._due_by_now() - self._deaths, max(1, MISSED_RATIO * self._due)
        since = duration_text(round(self._clock.now() - self._began_s, 1))
        said = f"{self._service.name} killed {self._deaths} times in {since}"
        return Observation(missing <= may_miss and self._has_new_life(), said)

    def crossed_bytes(self) -> None:
        """Nothing is heard by what is dead most of the time."""

    def end(self, ledger: Ledger) -> None:  # noqa: ARG002 - see the class
        """Let it live, and wait until it is ready."""
        if self._began_s is None:
            return
        self._began_s = None
        if not self._service.is_alive():
            self._service.start()
        wait_until_ready([self._service], clock=self._clock)

    def _due_by_now(self) -> int:
        """Return how often it should have been killed by now; the first is due at once."""
        return 0 if self._began_s is None else 1 + int((self._clock.now() - self._began_s) / self._every_s)

    def _has_new_life(self) -> bool:
        try:
            return self._service.life() != self._former
        except StackError:
            return False
