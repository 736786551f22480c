"""`disk-full`: a component has no room left on its disk, as after a log that is not rotated.

What it has it may write over, and what it has reserved it may use: a PostgreSQL goes on in the rows and the segment of
its log that have room, and refuses what needs more. One file takes the room, on a disk that the component has for
itself; of the machine's own disks none is filled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import FaultError, HarnessError
from harness.faults.action import Observation
from harness.faults.data.action import DataAction
from harness.faults.data.doors import ask_postgres
from harness.faults.disk_room import fill, free_bytes, is_filled
from harness.faults.postgres_server import begin_segment
from harness.spec.quantity import size_text
from harness.stack.backends.choice import CONTAINERS
from harness.stack.backends.disk import why_no_disk
from harness.stack.ready import wait_until_ready

if TYPE_CHECKING:
    from harness.faults.action import Site
    from harness.faults.ledger import Entry, Ledger
    from harness.spec.faults import DiskFull
    from harness.stack.service import Edge

REFUSED = "53100"
"""`disk_full`. Source: PostgreSQL 18, Appendix A, error codes."""

GIVEN_BACK_BYTES = 64 * 1024
"""What a server may give back meanwhile: eight of its pages. A look wants more than that beyond what is left."""

_ROW_BYTES = 1000


class DiskFullAction(DataAction):
    """Fills the disk by one file, and removes it; a server that did not survive is started again."""

    def __init__(self, fault: DiskFull, site: Site) -> None:
        super().__init__(fault, site)
        if fault.target not in site.stack.disks:
            what = f"the fault `{fault}` has nothing to hit: {fault.target} has no disk for itself"
            raise FaultError(what, where="the scenario's faults", fix="let the stack be started for this scenario")
        self._leaving_bytes = fault.leaving
        disk = site.stack.disks[fault.target]
        self._facts = {**disk.keeper, "folder": disk.folder, "file": f"readiness-{site.fault_id}"}

    @staticmethod
    def unavailable(backend: str) -> str | None:
        """Say why no disk can be had that goes with what keeps it; an engine has volumes in memory."""
        return None if backend == CONTAINERS else why_no_disk()

    def begin(self, ledger: Ledger) -> None:
        """Note the file, begin a segment of the log, and write the file."""
        self._noted.append(ledger.note("disk", self._service.name, **self._facts))
        begin_segment(self._service.direct)
        fill(self._facts, self._leaving_bytes)

    def observe(self) -> Observation:
        """See how much is left on the disk, and then through every edge what becomes of a write."""
        try:
            left_bytes = free_bytes(self._facts)
        except HarnessError as error:
            return Observation(is_delivered=False, seen=error.what)
        said = f"{self._service.name} has {size_text(left_bytes)} left on its disk"
        if left_bytes > self._leaving_bytes + GIVEN_BACK_BYTES:
            return Observation(is_delivered=False, seen=said)
        seen = super().observe()
        return Observation(seen.is_delivered, f"{said}, {seen.seen}")

    def look(self, edge: Edge) -> Observation:
        """See that a write which needs more than is left is refused through the edge, for this reason and no other."""
        answer = ask_postgres(self._stack, edge, growing_by(self._leaving_bytes + 2 * GIVEN_BACK_BYTES))
        if answer.refused is None:
            return Observation(is_delivered=False, seen=f"{edge.name} takes a write")
        return Observation(answer.refused == REFUSED, f"{edge.name} refuses a write ({answer.refused})")

    def end(self, ledger: Ledger) -> None:
        """Remove the file, start the server again if it did not survive, and wait until it is ready."""
        has_begun = bool(self._noted)
        super().end(ledger)
        if has_begun:
            if not self._service.is_alive():
                self._service.start()
            wait_until_ready([self._service], clock=self._clock)

    def _is_there(self, entry: Entry) -> bool:
        return is_filled(entry.facts)


def growing_by(more_bytes: int) -> str:
    """Return a write that takes so much room, and gives it back at once: a table that is gone with its transaction."""
    rows = more_bytes // _ROW_BYTES + 1
    what = f"SELECT repeat('x', {_ROW_BYTES}) FROM generate_series(1, {rows})"  # noqa: S608 - of numbers
    return f"CREATE TEMPORARY TABLE readiness_look ON COMMIT DROP AS {what}"
