"""`read-only`: a PostgreSQL refuses every write and answers every read, as one does that was demoted.

Its configuration says so, for whoever does not say otherwise: new sessions and those that a pool keeps open alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.faults.action import Observation
from harness.faults.data.action import DataAction
from harness.faults.data.doors import ask_postgres
from harness.faults.postgres_server import holds, read_only_facts, refuse_writes

if TYPE_CHECKING:
    from harness.faults.ledger import Entry, Ledger
    from harness.stack.service import Edge

WRITE = "DELETE FROM pg_catalog.pg_description WHERE false"
"""A write that changes nothing; whether it may is asked before it looks for rows, of which there are none."""

REFUSED = "25006"
"""`read_only_sql_transaction`. Source: PostgreSQL 18, Appendix A, error codes."""


class ReadOnlyAction(DataAction):
    """Sets `default_transaction_read_only`, and what it was before at its end."""

    def begin(self, ledger: Ledger) -> None:
        """Note what is set now, and have writes refused."""
        facts = read_only_facts(self._service.direct)
        self._noted.append(ledger.note("postgres-read-only", self._service.name, **facts))
        refuse_writes(self._service.direct)

    def look(self, edge: Edge) -> Observation:
        """See that a write is refused through the edge, for this reason and no other."""
        answer = ask_postgres(self._stack, edge, WRITE)
        if answer.refused == REFUSED:
            return Observation(is_delivered=True, seen=f"{edge.name} refuses a write ({REFUSED})")
        said = "takes a write" if answer.refused is None else f"refuses with {answer.refused}"
        return Observation(is_delivered=False, seen=f"{edge.name} {said}")

    def _is_there(self, entry: Entry) -> bool:
        """Tell whether what held before does not hold; of one that is dead nobody knows, and it comes back so."""
        return holds(self._service.direct) != str(entry.facts["held"])
