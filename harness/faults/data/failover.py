"""`failover`: a component is gone, its standby is promoted, and every path of a client leads there from then on.

What an operator's tooling does: Sentinel and a Redis Cluster, Patroni, a managed database. What replication had not
brought over by then is lost, or, where a write waits for the standby, was never acknowledged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.clock import is_met_within
from harness.errors import FaultError
from harness.faults.action import Observation
from harness.faults.data.action import DataAction
from harness.faults.data.doors import ask_postgres, ask_redis
from harness.faults.data.read_only import WRITE
from harness.spec.faults.target import ENDS_WITHIN_S
from harness.spec.quantity import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness.faults.action import Site
    from harness.faults.ledger import Ledger
    from harness.spec.faults import Failover
    from harness.stack.service import Edge
    from harness.stack.stack import Stack


def _refused_by_redis(stack: Stack, edge: Edge) -> str | None:
    """Write what changes nothing: it sets what is there alone, and nothing has that key."""
    answer = ask_redis(stack, edge, "SET readiness-look here XX")
    return None if answer == "$-1" else answer


def _refused_by_postgres(stack: Stack, edge: Edge) -> str | None:
    return ask_postgres(stack, edge, WRITE).refused


REFUSED: Mapping[str, Callable[[Stack, Edge], str | None]] = {
    "redis": _refused_by_redis,
    "postgres": _refused_by_postgres,
}
"""What a write through an edge is refused with, None if it is taken; by the kind of component."""


class FailoverAction(DataAction):
    """Ends a component, promotes its standby after a while, and leads the edges there.

    The ledger needs no entry of its own for this: every process is noted when it starts, a dead one hurts nothing, and
    where the edges lead goes with the fault proxy. Its end takes nothing back, since that would lose what was written
    meanwhile: it sees that the new server is there for every client.
    """

    def __init__(self, fault: Failover, site: Site) -> None:
        super().__init__(fault, site)
        self._standby = site.stack.standbys[fault.target]
        self._refused = REFUSED[site.stack.kinds[fault.target]]
        self._component = fault.target
        self._is_planned, self._unnoticed_s, self._within_s = fault.how == "planned", fault.unnoticed_s, fault.look_s
        self._began_s: float | None = None
        self._was_killed = self._is_led = False
        self._had_bytes = self._behind_bytes = 0
        self._unled_s = 0.0

    def begin(self, ledger: Ledger) -> None:  # noqa: ARG002 - see the class
        """See how far it is, and end it."""
        try:
            self._had_bytes = self._standby.replication.position(self._service.direct)
        except OSError as error:
            raise self._failed(f"{self._service.name} is not well before it is to die: {error}") from error
        self._began_s = self._clock.now()
        if self._is_planned:
            self._service.ask_to_end()
        else:
            self._service.kill()
        self.proceed()

    def proceed(self) -> None:
        """Promote the standby once that is due: when the death is noticed, or the former server has ended."""
        if self._began_s is None or self._is_led:
            return
        since_s = self._clock.now() - self._began_s
        if self._is_planned and self._service.is_alive():
            if since_s < ENDS_WITHIN_S:
                return
            self._service.kill()
            self._was_killed = True
        if since_s >= self._unnoticed_s:
            self._take_over(self._began_s)

    def observe(self) -> Observation:
        """Wait until the standby has taken over, and see that it takes writes through every edge."""
        if self._began_s is None:
            return Observation(is_delivered=False, seen=f"{self._service.name} does not fail over")
        if not is_met_within(self._has_taken_over, deadline_s=self._within_s, clock=self._clock):
            return Observation(is_delivered=False, seen=f"nothing has taken over from {self._service.name}")
        seen = super().observe()
        return Observation(seen.is_delivered and not self._was_killed, f"{self}, {seen.seen}")

    def look(self, edge: Edge) -> Observation:
        """See that the edge leads to the new server, which takes a write."""
        leads, refused = self._stack.proxy.upstream(edge.name), self._refused(self._stack, edge)
        if leads != str(self._standby.upstream):
            return Observation(is_delivered=False, seen=f"{edge.name} leads to {leads}")
        if refused is not None:
            return Observation(is_delivered=False, seen=f"{edge.name} refuses a write ({refused})")
        return Observation(is_delivered=True, seen=f"{edge.name} takes a write there")

    def end(self, ledger: Ledger) -> None:
        """Let the standby take over at once, if it has not, and see that it is there for every client."""
        if self._began_s is None:
            return
        if not self._is_led:
            if self._service.is_alive():
                self._service.kill()
            self._take_over(self._began_s)
        self._began_s = None
        seen = super().observe()
        if not seen.is_delivered:
            raise self._failed(f"the new server is not there for every client: {seen.seen}")
        super().end(ledger)

    def _has_taken_over(self) -> bool:
        self.proceed()
        return self._is_led

    def _take_over(self, began_s: float) -> None:
        standby = self._standby
        try:
            self._behind_bytes = max(0, self._had_bytes - standby.replication.position(standby.service.direct))
            standby.replication.promote(standby.service.direct)
        except OSError as error:
            raise self._failed(f"{standby.service.name} cannot take over: {error}") from error
        for edge in self._edges:
            self._stack.proxy.lead(edge.name, standby.upstream)
        self._stack.has_failed_over(self._component)
        self._is_led, self._unled_s = True, self._clock.now() - began_s

    def _failed(self, what: str) -> FaultError:
        fix = f"see {self._standby.service.name}.log and {self._service.name}.log"
        return FaultError(what, where=self._component, fix=fix)

    def __str__(self) -> str:
        ended = "handed over to" if self._is_planned else "was replaced by"
        killed = " (killed, since it did not end)" if self._was_killed else ""
        behind = f"{self._behind_bytes} bytes behind" if self._behind_bytes else "not behind"
        gap = duration_text(round(self._unled_s, 2))
        return f"{self._service.name}{killed} {ended} {self._standby.service.name} in {gap}, {behind}"
