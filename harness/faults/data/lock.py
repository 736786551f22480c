"""`lock`: a stranger's transaction holds a table, or its rows, and does not end.

It is a session of the harness itself, so that it ends with it; its name is in the ledger, for whoever has to end it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import FaultError
from harness.faults.action import Observation
from harness.faults.data.doors import ask_postgres
from harness.faults.data.strangers import StrangersAction, in_quotes

if TYPE_CHECKING:
    import psycopg

    from harness.faults.action import Site
    from harness.faults.data.doors import Answer
    from harness.faults.ledger import Ledger
    from harness.spec.faults import Lock
    from harness.stack.service import Edge

GRANTED_WITHIN_S = 5.0
"""How long the lock is waited for: transactions of the judged service end meanwhile, and what it asks later waits."""

NOT_GRANTED = "55P03"
"""`lock_not_available`: what NOWAIT is told. Source: PostgreSQL 18, Appendix A, error codes."""

_PASSED = (("1",),)


class LockAction(StrangersAction):
    """Takes the lock in a transaction that stays open, and ends it."""

    def __init__(self, fault: Lock, site: Site) -> None:
        super().__init__(fault, site)
        self._lock = fault
        self._table = in_quotes(fault.table)
        self._row: str | None = None

    def begin(self, ledger: Ledger) -> None:
        """Note the session, open it, and take the lock."""
        self._note(ledger)
        with self.granting():
            self._take(self._open())

    def _take(self, holder: psycopg.Connection[Any]) -> None:
        holder.execute("SET TRANSACTION READ WRITE")
        holder.execute(f"SET LOCAL lock_timeout = '{GRANTED_WITHIN_S:g}s'")
        match self._lock.blocks:
            case "everything":
                holder.execute(f"LOCK TABLE {self._table} IN ACCESS EXCLUSIVE MODE")
            case "writes":
                holder.execute(f"LOCK TABLE {self._table} IN SHARE MODE")
            case "rows":
                self._row = self._held_row(holder)

    def _held_row(self, holder: psycopg.Connection[Any]) -> str:
        """Lock every row that is there; return the place of one, which does not move while it is locked."""
        every = f"SELECT ctid FROM {self._table} FOR UPDATE"  # noqa: S608 - a name of letters, in quotes
        found = holder.execute(f"SELECT min(ctid)::text FROM ({every}) AS held").fetchone()  # noqa: S608 - as above
        if not found or found[0] is None:
            fix = "lock the table (`blocks: writes`), or let the fault begin when there are rows"
            raise FaultError(f"`{self._lock}` has no row to lock", where=self._service.name, fix=fix)
        return str(found[0])

    def look(self, edge: Edge) -> Observation:
        """See that what is blocked is not granted through the edge, and that what is not blocked is."""
        if self._lock.blocks == "rows" and self._row is None:
            return Observation(is_delivered=False, seen=f"{edge.name}: no row was locked")
        answer = ask_postgres(self._stack, edge, self._question())
        return Observation(self._is_dose(answer), f"{edge.name}: {self._lock.table} {_said(answer)}")

    def _question(self) -> str:
        match self._lock.blocks:
            case "everything":
                return f"{_lock(self._table, 'ACCESS SHARE')}; SELECT 1"
            case "writes":
                return f"{_lock(self._table, 'ACCESS SHARE')}; SELECT 1; {_lock(self._table, 'ROW EXCLUSIVE')}"
            case "rows":
                row = f"SELECT 2 FROM {self._table} WHERE ctid = '{self._row}' FOR KEY SHARE NOWAIT"  # noqa: S608 - as above
                share = _lock(self._table, "ROW EXCLUSIVE")
                return f"SET TRANSACTION READ WRITE; {share}; SELECT 1; {row}"

    def _is_dose(self, answer: Answer) -> bool:
        has_passed = answer.rows == _PASSED
        return answer.refused == NOT_GRANTED and has_passed == (self._lock.blocks != "everything")

    def end(self, ledger: Ledger) -> None:
        """End the transaction, and see that its session is gone."""
        super().end(ledger)
        self._row = None


def _lock(table: str, mode: str) -> str:
    return f"LOCK TABLE {table} IN {mode} MODE NOWAIT"


def _said(answer: Answer) -> str:
    passed = "lets reads through, and is" if answer.rows == _PASSED else "is"
    return f"{passed} {'granted' if answer.refused is None else f'refused ({answer.refused})'}"
