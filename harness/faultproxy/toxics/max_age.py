"""`max_age`: a connection ends after so long, in use or not, as load balancers do it. An extension of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.faultproxy.toxics.duration import milliseconds

if TYPE_CHECKING:
    from harness.faultproxy.toxics.stage import Stub

ENDINGS = ("close", "reset")


@dataclass(frozen=True, slots=True)
class MaxAge:
    """End both sides at an age; until then bytes pass untouched.

    Unlike `timeout`, no traffic postpones it. A connection that is older already ends at once.

    Attributes:
        age: Milliseconds since the connection was made.
        ending: `close`, in order and behind what was read before; or `reset`.
    """

    age: int = milliseconds()
    ending: str = "close"

    def problem(self) -> str | None:
        """Refuse what no connection can have."""
        if self.ending not in ENDINGS:
            return f"ending must be {' or '.join(ENDINGS)}"
        return None if self.age >= 0 else "age must not be negative"

    def stage(self, stub: Stub) -> MaxAgeStage:
        """Return the stage for one link."""
        return MaxAgeStage(self, stub)


class MaxAgeStage:
    """An age that comes nearer on one link."""

    is_full = False

    def __init__(self, settings: MaxAge, stub: Stub) -> None:
        self._settings = settings
        self._stub = stub
        self._wait()

    def receive(self, data: bytes) -> None:
        """Pass bytes on."""
        self._stub.send(data)

    def end(self) -> None:
        """Pass the end on; the other direction lives to its age."""
        self._stub.end()

    def retune(self, settings: MaxAge) -> None:
        """Wait for the new age, counted from the same moment."""
        self._settings = settings
        self._wait()

    def release(self) -> None:
        """Let the connection grow old."""
        self._stub.disarm()

    def _wait(self) -> None:
        due_s = self._stub.opened_at_s + self._settings.age / 1000
        self._stub.arm(max(0.0, due_s - self._stub.now()), self._end)

    def _end(self) -> None:
        self._stub.hit()
        (self._stub.reset if self._settings.ending == "reset" else self._stub.close)()
