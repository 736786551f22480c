"""`slow_close`: the connection stays open for a while after its source has ended it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.faultproxy.toxics.duration import milliseconds

if TYPE_CHECKING:
    from harness.faultproxy.toxics.stage import Stub


@dataclass(frozen=True, slots=True)
class SlowClose:
    """Delay the end of the stream; bytes pass untouched.

    Attributes:
        delay: Milliseconds; nothing is delayed below 1.
    """

    delay: int = milliseconds()

    def problem(self) -> str | None:
        """Accept everything: a delay below 0 is none, as in the original."""
        return None

    def stage(self, stub: Stub) -> SlowCloseStage:
        """Return the stage for one link."""
        return SlowCloseStage(self, stub)


class SlowCloseStage:
    """A slow close on one link."""

    is_full = False

    def __init__(self, settings: SlowClose, stub: Stub) -> None:
        self._settings = settings
        self._stub = stub
        self._is_ending = False

    def receive(self, data: bytes) -> None:
        """Pass bytes on."""
        self._stub.send(data)

    def end(self) -> None:
        """Start the wait."""
        self._stub.hit()
        self._is_ending = True
        self._stub.arm(self._settings.delay / 1000, self._end_now)

    def retune(self, settings: SlowClose) -> None:
        """Start a wait that has begun once more, with the new delay (Toxiproxy 2.12, observed)."""
        self._settings = settings
        if self._is_ending:
            self.end()

    def release(self) -> None:
        """End at once what was waiting to end."""
        self._stub.disarm()
        if self._is_ending:
            self._end_now()

    def _end_now(self) -> None:
        self._is_ending = False
        self._stub.end()
