"""`drop_reply`: the request goes through, its reply does not come back. An extension of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.faultproxy.toxics.duration import milliseconds

if TYPE_CHECKING:
    from harness.faultproxy.toxics.stage import Stub


@dataclass(frozen=True, slots=True)
class DropReply:
    """Drop what arrives on this direction, then reset both sides: the client cannot know whether it was done.

    Unlike `timeout`, the wait is counted from the first dropped byte and nothing prolongs it; unlike `reset_peer`,
    idle connections are left alone, and a greeting or handshake may pass.

    Attributes:
        pass_bytes: So many bytes of each connection still arrive.
        timeout: Milliseconds from the first dropped byte to the reset.
    """

    pass_bytes: int = 0
    timeout: int = milliseconds()

    def problem(self) -> str | None:
        """Refuse what means nothing."""
        if self.pass_bytes < 0:
            return "pass_bytes must not be negative"
        return None if self.timeout >= 0 else "timeout must not be negative"

    def stage(self, stub: Stub) -> DropReplyStage:
        """Return the stage for one link."""
        return DropReplyStage(self, stub)


class DropReplyStage:
    """A reply that gets lost on one link."""

    # Bytes are dropped, so there is always room.
    is_full = False

    def __init__(self, settings: DropReply, stub: Stub) -> None:
        self._settings = settings
        self._stub = stub
        self._passed_bytes = 0
        self._has_dropped = False

    def receive(self, data: bytes) -> None:
        """Pass what may pass; drop the rest, and with its first byte start the wait."""
        passing = data[: max(0, self._settings.pass_bytes - self._passed_bytes)]
        self._passed_bytes += len(passing)
        if passing:
            self._stub.send(passing)
        if len(passing) < len(data) and not self._has_dropped:
            self._has_dropped = True
            self._stub.hit()
            self._wait()

    def end(self) -> None:
        """Pass the end of a stream of which nothing is missing."""
        if not self._has_dropped:
            self._stub.end()

    def retune(self, settings: DropReply) -> None:
        """Start a wait that has begun once more, with the new time."""
        self._settings = settings
        if self._has_dropped:
            self._wait()

    def release(self) -> None:
        """Spare a connection that has lost nothing; one that has is beyond saving."""
        self._stub.disarm()
        if self._has_dropped:
            self._stub.reset()

    def _wait(self) -> None:
        self._stub.arm(self._settings.timeout / 1000, self._stub.reset)
