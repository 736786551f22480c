"""`restart`: the target is asked to end, and started again when it has.

As an operator or an orchestrator does it: SIGTERM, or the signal that the service names for this, then SIGKILL if it
has not ended after a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.clock import is_met_within
from harness.errors import StackError
from harness.faults.action import Observation
from harness.faults.process.service import service_of
from harness.spec.faults.target import ENDS_WITHIN_S
from harness.stack.ready import wait_until_ready

if TYPE_CHECKING:
    from harness.clock import Clock
    from harness.faults.action import Site
    from harness.faults.ledger import Ledger
    from harness.spec.faults import Restart
    from harness.stack.service import Service

INSISTED_WITHIN_S = ENDS_WITHIN_S + 1.0
"""By then it has ended, or was killed and has been started."""


class GracefulRestart:
    """One service on its way from one life into the next, step by step, so that nothing else waits for it.

    Args:
        service: Runs; it is asked to end at once.
        clock: The time.

    Attributes:
        ended: How its former life ended, once it has, and the next has begun.
        ready_after_s: When the next one was seen to be ready, seconds since it was asked; None until then.

    Raises:
        StackError: If it does not run.
    """

    def __init__(self, service: Service, clock: Clock) -> None:
        self._service, self._clock = service, clock
        self._former, self._asked_s = service.life(), clock.now()
        self.ended = ""
        self.ready_after_s: float | None = None
        service.ask_to_end()

    def proceed(self) -> None:
        """Start it once it has ended, which is insisted on after a while; then look whether it is ready."""
        since_s, is_alive = self._clock.now() - self._asked_s, self._service.is_alive()
        if self.ended:
            if self.ready_after_s is None and self._service.is_ready():
                self.ready_after_s = since_s
        elif not is_alive or since_s > ENDS_WITHIN_S:
            if is_alive:
                self._service.kill()
            self._service.start()
            self.ended = f"{'was killed' if is_alive else 'ended'} after {since_s:.1f} s"

    def has_new_life(self) -> bool:
        """Do what is due, and tell whether it lives, and not its former life."""
        self.proceed()
        try:
            return self._service.life() != self._former
        except StackError:  # it has ended, and was not started yet, or its start failed
            return False

    def is_ready(self) -> bool:
        """Do what is due, and tell whether all is done."""
        self.proceed()
        return self.ready_after_s is not None

    def has_served(self, for_s: float) -> bool:
        """Do what is due, and tell whether it has been ready for so long."""
        return self.is_ready() and self._clock.now() - self._asked_s >= (self.ready_after_s or 0.0) + for_s

    def finish(self) -> None:
        """Wait until it lives anew and is ready."""
        is_met_within(self.has_new_life, deadline_s=INSISTED_WITHIN_S, clock=self._clock)
        wait_until_ready([self._service], clock=self._clock)

    def __str__(self) -> str:
        if not self.ended:
            return f"{self._service.name} has not ended"
        is_ready = "is not ready" if self.ready_after_s is None else f"was ready after {self.ready_after_s:.1f} s"
        return f"{self._service.name} {self.ended}, was started and {is_ready}"


class RestartAction:
    """Restarts a service; at its end it waits until that is ready.

    The ledger needs no entry of its own for this: what is started is noted when it starts, and ended with the run.
    """

    def __init__(self, fault: Restart, site: Site) -> None:
        self._service = service_of(fault, site.stack)
        self._clock = site.clock
        self._restart: GracefulRestart | None = None

    @staticmethod
    def unavailable(backend: str) -> None:
        """Processes and containers alike can be restarted."""

    def begin(self, ledger: Ledger) -> None:  # noqa: ARG002 - see the class
        """Ask it to end."""
        self._restart = GracefulRestart(self._service, self._clock)

    def proceed(self) -> None:
        """Go on with it."""
        if self._restart:
            self._restart.proceed()

    def observe(self) -> Observation:
        """See that it lives, and not its former life: another process, or the same container started anew."""
        restart = self._restart
        if restart is None:
            return Observation(is_delivered=False, seen=f"{self._service.name} was not asked to end")
        is_new = is_met_within(restart.has_new_life, deadline_s=INSISTED_WITHIN_S, clock=self._clock)
        return Observation(is_new, str(restart))

    def crossed_bytes(self) -> None:
        """Nothing is heard by what is gone for a while."""

    def end(self, ledger: Ledger) -> None:  # noqa: ARG002 - see the class
        """Wait until it is ready."""
        if self._restart:
            self._restart.finish()
            self._restart = None
