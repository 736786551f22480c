"""`timeout`: nothing arrives any more, and after a silence the connection closes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.faultproxy.toxics.duration import milliseconds

if TYPE_CHECKING:
    from harness.faultproxy.toxics.stage import Stub


@dataclass(frozen=True, slots=True)
class Timeout:
    """Drop every byte of this direction.

    Removing the toxic closes the connection, because bytes are missing from it.

    Attributes:
        timeout: Milliseconds of silence on this direction after which both sides are closed; each dropped piece
            starts them anew (Toxiproxy 2.12, observed). Below 1: never.
    """

    timeout: int = milliseconds()

    def problem(self) -> str | None:
        """Accept everything: a wait below 1 never ends, as in the original."""
        return None

    def stage(self, stub: Stub) -> TimeoutStage:
        """Return the stage for one link."""
        return TimeoutStage(self, stub)


class TimeoutStage:
    """A timeout on one link; the wait begins with the stage, so idle connections close too."""

    # Bytes are dropped, so there is always room.
    is_full = False

    def __init__(self, settings: Timeout, stub: Stub) -> None:
        self._settings = settings
        self._stub = stub
        self._wait()

    def receive(self, data: bytes) -> None:  # noqa: ARG002  # dropping it is the point
        """Drop bytes, and wait for the silence anew."""
        self._stub.hit()
        self._wait()

    def end(self) -> None:
        """Let the end through, so that neither side waits for a peer that is gone."""
        self._stub.disarm()
        self._stub.end()

    def retune(self, settings: Timeout) -> None:
        """Wait anew, for the new time."""
        self._settings = settings
        self._wait()

    def release(self) -> None:
        """Close the connection: its bytes are lost."""
        self._stub.disarm()
        self._stub.close()

    def _wait(self) -> None:
        self._stub.disarm()
        if self._settings.timeout > 0:
            self._stub.arm(self._settings.timeout / 1000, self._close)

    def _close(self) -> None:
        self._stub.hit()
        self._stub.close()
