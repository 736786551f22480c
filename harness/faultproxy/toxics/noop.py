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
    """Bytes in, bytes out; toxics that act elsewhere use it too, and do not have that counted as acting."""

    is_full = False

    def __init__(self, stub: Stub, *, is_counted: bool = True) -> None:
        self._stub = stub
        self._is_counted = is_counted

    def receive(self, data: bytes) -> None:
        """Pass bytes on."""
        if self._is_counted:
            self._stub.hit()
        self._stub.send(data)

    def end(self) -> None:
        """Pass the end on."""
        self._stub.end()

    def retune(self, settings: Noop) -> None:
        """Change nothing."""

    def release(self) -> None:
        """Hold nothing."""
