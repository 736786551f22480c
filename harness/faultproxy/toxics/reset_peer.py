"""`reset_peer`: the connection is reset under both sides (TCP RST)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.faultproxy.toxics.duration import milliseconds

if TYPE_CHECKING:
    from harness.faultproxy.toxics.stage import Stub


@dataclass(frozen=True, slots=True)
class ResetPeer:
    """Drop the bytes of this direction, then reset both sides.

    A connection that begins under the toxic is reset after its first byte (or end), as in the original. One that was
    open before is reset even if it stays idle, since a pool of idle connections is what a reset usually meets; the
    original waits for a byte there too, and then sends FIN.

    Attributes:
        timeout: Milliseconds from that byte, or from the moment the toxic meets an open connection.
    """

    timeout: int = milliseconds()

    def problem(self) -> str | None:
        """Accept everything: a wait below 0 is none, as in the original."""
        return None

    def stage(self, stub: Stub) -> ResetPeerStage:
        """Return the stage for one link."""
        return ResetPeerStage(self, stub)


class ResetPeerStage:
    """A reset that is coming up on one link."""

    # Bytes are dropped, so there is always room.
    is_full = False

    def __init__(self, settings: ResetPeer, stub: Stub) -> None:
        self._settings = settings
        self._stub = stub
        self._is_waiting = self._has_dropped = False
        if stub.was_open:
            self._wait()

    def receive(self, data: bytes) -> None:  # noqa: ARG002  # dropping it is the point
        """Drop bytes, and start the wait with the first."""
        self._has_dropped = True
        if not self._is_waiting:
            self._wait()

    def end(self) -> None:
        """Do not let the end through: a reset is coming."""
        self.receive(b"")

    def retune(self, settings: ResetPeer) -> None:
        """Start a wait that has begun once more, with the new time."""
        self._settings = settings
        if self._is_waiting:
            self._wait()

    def release(self) -> None:
        """Spare a connection that has lost nothing yet; one that has is beyond saving."""
        self._stub.disarm()
        if self._has_dropped:
            self._reset()

    def _wait(self) -> None:
        self._is_waiting = True
        self._stub.arm(self._settings.timeout / 1000, self._reset)

    def _reset(self) -> None:
        self._stub.hit()
        self._stub.reset()
