"""`noop`: nothing changes. The shortest toxic, and the one to copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.faultproxy.toxics.stage import Stub


@dataclass(frozen=True, slots=True)
class Noop:
    """No attributes."""

    def problem(self) -> str | None:
        """Accept everything."""
        return None

    def stage(self, stub: Stub) -> NoopStage:
        """Return the stage for one link."""
        return NoopStage(stub)


class NoopStage:
    """Bytes in, bytes out."""

    is_full = False

    def __init__(self, stub: Stub) -> None:
        self._stub = stub

    def receive(self, data: bytes) -> None:
        """Pass bytes on."""
        self._stub.hit()
        self._stub.send(data)

    def end(self) -> None:
        """Pass the end on."""
        self._stub.end()

    def retune(self, settings: Noop) -> None:
        """Change nothing."""

    def release(self) -> None:
        """Hold nothing."""
