"""`limit_data`: so many bytes pass, then the connection closes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.faultproxy.toxics.stage import Stub


@dataclass(frozen=True, slots=True)
class LimitData:
    """Pass exactly so many bytes of this direction, cutting a piece in two if need be, then close both sides.

    Attributes:
        bytes: The limit per connection. At 0 the first byte closes the connection; an idle one stays open.
    """

    bytes: int = 0

    def problem(self) -> str | None:
        """Accept everything: a negative limit acts as 0, as in the original."""
        return None

    def stage(self, stub: Stub) -> LimitDataStage:
        """Return the stage for one link."""
        return LimitDataStage(self, stub)


class LimitDataStage:
    """A limit on one link; what has passed is remembered across changes of the limit (Toxiproxy 2.12, observed)."""

    is_full = False

    def __init__(self, settings: LimitData, stub: Stub) -> None:
        self._settings = settings
        self._stub = stub
        self._passed_bytes = 0

    def receive(self, data: bytes) -> None:
        """Pass what the limit leaves room for."""
        room_bytes = max(0, self._settings.bytes - self._passed_bytes)
        self._passed_bytes += min(len(data), room_bytes)
        if room_bytes:
            self._stub.send(data[:room_bytes])
        if len(data) >= room_bytes:
            self._stub.hit()
            self._stub.close()

    def end(self) -> None:
        """Pass the end on."""
        self._stub.end()

    def retune(self, settings: LimitData) -> None:
        """Go on counting towards the new limit."""
        self._settings = settings

    def release(self) -> None:
        """Let the connection live: nothing is held."""
