"""`connection_limit`: only so many connections at a time, as a server with maxclients has it. An extension of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.faultproxy.toxics.noop import NoopStage

if TYPE_CHECKING:
    from harness.faultproxy.toxics.stage import Stub


@dataclass(frozen=True, slots=True)
class ConnectionLimit:
    """Accept a new connection and close it at once while the limit is reached; open connections live on.

    Attributes:
        connections: How many may be open at a time over the whole proxy, count.
    """

    connections: int = 0

    def problem(self) -> str | None:
        """Refuse what means nothing."""
        return None if self.connections >= 0 else "connections must not be negative"

    def stage(self, stub: Stub) -> NoopStage:
        """Return a stage that does nothing: the fault is at the door."""
        return NoopStage(stub, is_counted=False)

    def shuts(self) -> bool:
        """Leave the door open."""
        return False

    def admits(self, open_count: int) -> bool:
        """Tell whether one more may come in."""
        return open_count < self.connections
