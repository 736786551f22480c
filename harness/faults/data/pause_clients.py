"""`pause-clients`: a Redis that is well answers nothing, or nothing but reads; what is asked waits, and is not refused.

CLIENT PAUSE. One that answers everybody but writers takes CLIENT UNPAUSE. One that answers nobody takes no command at
all, that one least: so it is told so a quarter of a second at a time, in one line that is read as each is over, and the
pause ends when the connection that holds it does. Seen on 8.2: 20 times 250 ms, four clients, not one answer between.
"""

from __future__ import annotations

import math
import socket
from typing import TYPE_CHECKING

from harness.errors import FaultError
from harness.faults.action import Observation
from harness.faults.data.action import DataAction
from harness.faults.data.doors import ask_redis
from harness.faults.redis_server import LATE_S, LEASE_S, changing, facts_of, takes_writes
from harness.spec.faults.target import SILENCE_S
from harness.stack.service import Address

if TYPE_CHECKING:
    from harness.faults.action import Site
    from harness.faults.ledger import Entry, Ledger
    from harness.spec.faults import PauseClients
    from harness.stack.service import Edge

UNKNOWN = "READINESS"
"""No command of Redis: it is refused before a pause is looked at, so that a pause can be told from a freeze."""

READ, WRITE = "EXISTS readiness-look", "SET readiness-look here XX"
"""Harmless both: nothing has that key, and XX sets what is there alone."""

_LONGEST_MS = 24 * 3600 * 1000
"""As long as a phase may last: one that blocks writes alone is ended by command."""


class PauseClientsAction(DataAction):
    """Pauses the clients of a Redis, and lets them go on at its end."""

    def __init__(self, fault: PauseClients, site: Site) -> None:
        super().__init__(fault, site)
        self._blocks = fault.blocks
        self._lasts_s = 0.0 if fault.lasts_s is None else fault.lasts_s
        self._holder: socket.socket | None = None

    def begin(self, ledger: Ledger) -> None:
        """Note the very server, and pause it."""
        facts = {**facts_of(self._service.direct), "blocks": self._blocks, "lasts_s": self._lasts_s}
        self._noted.append(ledger.note("redis-pause", self._service.name, **facts))
        if self._blocks == "everything":
            self._hold()
        else:
            with changing(self._service.direct) as client:
                client.client_pause(_LONGEST_MS, all=False)

    def _hold(self) -> None:
        """Say all of it at once: what is read as one pause is over begins the next before anybody is answered."""
        times = math.ceil((self._lasts_s + LATE_S) / LEASE_S)
        address = self._service.direct
        try:
            self._holder = socket.create_connection((address.host, address.port), timeout=SILENCE_S)
            self._holder.sendall(f"CLIENT PAUSE {round(LEASE_S * 1000)} ALL\r\n".encode() * times)
            said = self._holder.recv(64)
        except OSError as error:
            fix = "see its log"
            raise FaultError(f"Redis does not pause: {type(error).__name__}", where=str(address), fix=fix) from error
        if not said.startswith(b"+OK"):
            raise FaultError(f"Redis does not pause: {said!r}", where=str(address), fix="see its log")

    def look(self, edge: Edge) -> Observation:
        """See that what is blocked is not answered through the edge, while the server lets hear from itself."""
        others, blocked = (UNKNOWN, READ) if self._blocks == "everything" else (READ, WRITE)
        ask_redis(self._stack, edge, others, within_s=SILENCE_S)
        try:
            answer = ask_redis(self._stack, edge, blocked, within_s=SILENCE_S)
        except TimeoutError:
            said = f"{edge.name} is alive, and keeps {blocked.split()[0]} waiting for {SILENCE_S:g} s"
            return Observation(is_delivered=True, seen=said)
        return Observation(is_delivered=False, seen=f"{edge.name} answers {blocked.split()[0]}: {answer}")

    def end(self, ledger: Ledger) -> None:
        """Let go what is held, and see that it answers."""
        if self._holder is not None:
            self._holder.close()
            self._holder = None
        super().end(ledger)

    def _is_there(self, entry: Entry) -> bool:
        """Tell whether a write still waits, at the server's own address."""
        return not takes_writes(Address(entry.facts["host"], int(entry.facts["port"])))
