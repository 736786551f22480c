"""`reset_peer`: the connection is reset under both sides (TCP RST)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.faultproxy.toxics.latency import MAX_MS

if TYPE_CHECKING:
    from harness.faultproxy.toxics.stage import Stub


@dataclass(frozen=True, slots=True)
class ResetPeer:
    """Drop the bytes of this direction, then reset both sides.

    Unlike the original it does not wait for a first byte: idle connections, and those that were open before the
    toxic, are reset as well, since a pool full of idle connections is what a reset usually meets.

    Attributes:
        timeout: Milliseconds from the moment the toxic meets the connection.
    """

    timeout: int = 0

    def problem(self) -> str | None:
        """Refuse a wait no clock can keep."""
        return None if self.timeout <= MAX_MS else f"timeout must be at most {MAX_MS} ms"

    def stage(self, stub: Stub) -> ResetPeerStage:
        """Return the stage for one link."""
        return ResetPeerStage(self, stub)


class ResetPeerStage:
    """A reset that is coming up on one link."""

    # Bytes are dropped, so there is always room.
    is_full = False

    def __init__(self, settings: ResetPeer, stub: Stub) -> None:
        self._stub = stub
        self._has_dropped = False
        self._wait(settings)

    def receive(self, data: bytes) -> None:  # noqa: ARG002  # dropping it is the point
        """Drop bytes."""
        self._has_dropped = True

    def end(self) -> None:
        """Do not let the end through: a reset is coming."""
        self._has_dropped = True

    def retune(self, settings: ResetPeer) -> None:
        """Wait anew, for the new time."""
        self._wait(settings)

    def release(self) -> None:
        """Spare a connection that has lost nothing yet; one that has is beyond saving."""
        self._stub.disarm()
        if self._has_dropped:
            self._reset()

    def _wait(self, settings: ResetPeer) -> None:
        self._stub.arm(settings.timeout / 1000, self._reset)

    def _reset(self) -> None:
        self._stub.hit()
        self._stub.reset()
