"""`long-transaction`: a stranger has read a table, and leaves its transaction open.

It holds back the removal of dead rows everywhere, and on that table whatever wants it for itself: a migration waits for
it, and everybody who comes later waits for the migration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import IsolationLevel
from psycopg.sql import Literal

from harness.faults.action import Observation
from harness.faults.data.doors import ask_postgres
from harness.faults.data.strangers import StrangersAction, in_quotes

if TYPE_CHECKING:
    from harness.faults.action import Site
    from harness.faults.ledger import Ledger
    from harness.spec.faults import LongTransaction
    from harness.stack.service import Edge


class LongTransactionAction(StrangersAction):
    """Reads once in a transaction that stays open, and ends it."""

    def __init__(self, fault: LongTransaction, site: Site) -> None:
        super().__init__(fault, site)
        self._table = in_quotes(fault.table)

    def begin(self, ledger: Ledger) -> None:
        """Note the session, open it, and read."""
        self._note(ledger)
        with self.granting():
            holder = self._open()
            holder.isolation_level = IsolationLevel.REPEATABLE_READ  # what it has seen it goes on seeing
            holder.execute(f"SELECT FROM {self._table} LIMIT 1")

    def look(self, edge: Edge) -> Observation:
        """See through the edge that a session idles in a transaction, with the table and with what it has seen."""
        if self._name is None:
            return Observation(is_delivered=False, seen=f"{edge.name}: no transaction was begun")
        answer = ask_postgres(self._stack, edge, self._question(self._name))
        if not answer.rows:
            return Observation(is_delivered=False, seen=f"{edge.name} shows no such transaction ({answer.refused})")
        return Observation(is_delivered=True, seen=f"{edge.name} shows a transaction idle for {answer.rows[0][0]} s")

    def _question(self, name: str) -> str:
        return (
            "SELECT extract(epoch FROM clock_timestamp() - state_change)::numeric(9, 1)"  # noqa: S608 - all in quotes
            " FROM pg_stat_activity JOIN pg_locks USING (pid)"
            f" WHERE application_name = {Literal(name).as_string()} AND state = 'idle in transaction'"
            f" AND backend_xmin IS NOT NULL AND granted AND relation = {Literal(self._table).as_string()}::regclass"
        )
