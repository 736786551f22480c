"""`connect-blackhole`: connects to the target time out, as towards a machine that is gone; open connections live on.

A toxic of our own proxy. A client that waits when the fault ends gets in when its kernel next tries: 1 s, 3 s, 7 s
after its first try.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

from harness.faults.action import Observation
from harness.faults.network.edges import why_silent_itself
from harness.faults.network.toxic import ToxicAction, why_not_real
from harness.spec.faults.target import SILENCE_S
from harness.stack.proxy import Toxic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.stack.service import Edge


class ConnectBlackholeAction(ToxicAction):
    """Shuts the door of each edge without a word."""

    @staticmethod
    def unavailable(backend: str) -> str | None:
        """Say why it cannot be done: it needs our own proxy, and a kernel that drops what a full queue is asked."""
        if sys.platform != "linux":
            return "only Linux drops a connect where a full queue is asked"
        return why_not_real(backend, "keeps connects waiting")

    def toxics(self, edge: Edge) -> Iterable[Toxic]:
        """Return one: it is about the proxy as a whole."""
        yield Toxic(edge.name, self._fault_id, "connect_blackhole")

    def look(self, edge: Edge) -> Observation:
        """See that a connect gets no answer, while the service behind it answers."""
        try:
            socket.create_connection((edge.listen.host, edge.listen.port), timeout=SILENCE_S).close()
        except TimeoutError:
            why_not = why_silent_itself(self._stack, edge)
            said = f"but {why_not}" if why_not else f"for {SILENCE_S:g} s"
            return Observation(why_not is None, f"{edge.name} lets nobody in {said}")
        except OSError as error:
            return Observation(is_delivered=False, seen=f"{edge.name} answers a connect: {type(error).__name__}")
        return Observation(is_delivered=False, seen=f"{edge.name} lets in")
