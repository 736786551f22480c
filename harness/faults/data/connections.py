"""`connections`: a stranger takes the connections of a PostgreSQL until few are left, or none.

As a batch job does, or a deployment whose pools were counted by nobody. Those that the judged service has stay its own;
what it gives back, it may have again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from harness.errors import FaultError
from harness.faults.action import Observation
from harness.faults.data.doors import ask_postgres
from harness.faults.data.strangers import StrangersAction
from harness.faults.postgres_server import changing, free_connections, sessions

if TYPE_CHECKING:
    from harness.faults.action import Site
    from harness.faults.ledger import Ledger
    from harness.spec.faults import Connections
    from harness.stack.service import Edge

TOO_MANY = "53300"
"""`too_many_connections`. Source: PostgreSQL 18, Appendix A, error codes."""


class ConnectionsAction(StrangersAction):
    """Opens sessions one by one until so many are left, and has them ended."""

    def __init__(self, fault: Connections, site: Site) -> None:
        super().__init__(fault, site)
        self._leaving = fault.leaving
        self._taken = 0
        self._there = 0

    def begin(self, ledger: Ledger) -> None:
        """Note the sessions, and open them; what is free is counted before each, since the service opens its own."""
        self._note(ledger)
        with changing(self._service.direct) as server:
            while free_connections(server) > self._leaving:
                try:
                    self._open()
                except psycopg.Error as error:
                    if not free_connections(server):
                        break  # the service took the last one meanwhile
                    what = f"PostgreSQL granted {len(self._held)} connections and no more: {error}"
                    raise FaultError(what, where=self._service.name, fix="see its log") from error
        self._taken = len(self._held)

    def observe(self) -> Observation:
        """See that every session is still there, and what a new connection is told through every edge."""
        with changing(self._service.direct) as server:
            self._there = 0 if self._name is None else sessions(server, self._name)
        return super().observe()

    def look(self, edge: Edge) -> Observation:
        """See that new connections are refused, unless some are left, or the service has given some back."""
        answer = ask_postgres(self._stack, edge, "SELECT 1")
        has_all = 0 < self._there == self._taken
        held = f"{self._there} of {self._taken} held"
        if answer.refused is not None:
            return Observation(
                has_all and answer.refused == TOO_MANY, f"{edge.name} refuses ({answer.refused}), {held}"
            )
        return Observation(has_all, f"{edge.name} grants a connection, {held}")
