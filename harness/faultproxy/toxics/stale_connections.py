"""`stale_connections`: open connections fall silent, new ones work. An extension of ours.

As behind a firewall that has forgotten them: nothing tells either side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.faultproxy.toxics.noop import NoopStage
from harness.faultproxy.toxics.timeout import Timeout, TimeoutStage

if TYPE_CHECKING:
    from harness.faultproxy.toxics.stage import Stage, Stub


@dataclass(frozen=True, slots=True)
class StaleConnections:
    """Drop every byte of this direction on connections that were open before the toxic.

    Removing the toxic closes those, because bytes are missing from them.
    """

    def problem(self) -> str | None:
        """Accept everything: there is nothing to set."""
        return None

    def stage(self, stub: Stub) -> Stage:
        """Return a stage that swallows, or one that is not there."""
        return TimeoutStage(Timeout(), stub) if stub.was_open else NoopStage(stub, is_counted=False)
