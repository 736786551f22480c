"""What faults share that are sessions of a stranger: opened by the harness itself, and named in the ledger first.

A session ends with the process whose connection it is, so that none outlives the harness. What is named in the ledger
is ended by the server, where the connection is still open or has not been missed yet.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg

from harness.errors import FaultError
from harness.faults.data.action import DataAction
from harness.faults.postgres_server import facts_of, session_name, stranger
from harness.stack.ready import wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.faults.action import Site
    from harness.faults.ledger import Ledger
    from harness.spec.faults import DataFault


class StrangersAction(DataAction):
    """Opens sessions of one name, and has the server end them."""

    def __init__(self, fault: DataFault, site: Site) -> None:
        super().__init__(fault, site)
        self._fault = fault
        self._name: str | None = None
        self._held: list[psycopg.Connection[Any]] = []

    def _note(self, ledger: Ledger) -> str:
        """Note the name of the sessions that will be opened; return it."""
        name = session_name(self._fault_id, ledger.run_id)
        facts = facts_of(self._service.direct)
        self._noted.append(ledger.note("postgres-sessions", self._service.name, application=name, **facts))
        self._name = name
        return name

    @contextmanager
    def granting(self) -> Iterator[None]:
        """Say of what the server does not grant which fault it was for.

        Raises:
            FaultError: If it does not grant something.
        """
        try:
            yield
        except psycopg.Error as error:
            what = f"`{self._fault}` was not granted: {str(error).splitlines()[0]}"
            fix = "name a table that is there when the fault begins, and that nothing holds for seconds"
            raise FaultError(what, where=self._service.name, fix=fix) from error

    def _open(self) -> psycopg.Connection[Any]:
        """Open one more.

        Raises:
            psycopg.Error: If the server grants none.
        """
        assert self._name is not None  # noqa: S101 - it is noted first
        held = stranger(self._service.direct, self._name)
        self._held.append(held)
        return held

    def end(self, ledger: Ledger) -> None:
        """Have the server end them, and see that they are gone and that it grants others."""
        has_begun = bool(self._noted)
        super().end(ledger)
        while self._held:
            with suppress(psycopg.Error):  # the server has closed it
                self._held.pop().close()
        self._name = None
        if has_begun:
            wait_until_ready([self._service], clock=self._clock)


def in_quotes(table: str) -> str:
    """Return the name of a table as it stands in a statement, also where it is a word of the language."""
    return ".".join(f'"{part}"' for part in table.split("."))
