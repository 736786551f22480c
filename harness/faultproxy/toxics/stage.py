"""The seam every toxic is made to: its settings, its stage on one link, and what a stage holds of that link.

    source ──► stage ──► stage ──► sink        a link with two toxics; `stub.send` of each is the next one's `receive`

A stage never blocks and never loops: it gets bytes, hands bytes on, and arms one timer for what must wait.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import Field
    from random import Random


class Settings(Protocol):
    """A toxic's attributes: a frozen dataclass whose fields are the attributes' names, with Toxiproxy's defaults."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def problem(self) -> str | None:
        """Say why these values cannot work, or `None` if they can."""

    def stage(self, stub: Stub) -> Stage:
        """Return the stage that applies these settings to one direction of one connection."""


@runtime_checkable
class Doorkeeper(Protocol):
    """What settings have besides when their toxic acts on new connections."""

    def shuts(self) -> bool:
        """Tell whether every new connection is kept out."""

    def admits(self, open_count: int) -> bool:
        """Tell whether one more may come in while so many are in."""


class Stage(Protocol):
    """One toxic at work on one direction of one connection."""

    @property
    def is_full(self) -> bool:
        """Tell whether the source should wait before it sends more."""

    def receive(self, data: bytes) -> None:
        """Take bytes from the stage before."""

    def end(self) -> None:
        """Take the end of the stream, which follows behind all bytes."""

    def retune(self, settings: Any) -> None:
        """Go on with other settings of the same type; what a PATCH does."""

    def release(self) -> None:
        """Hand on at once whatever is held: the toxic is being removed, or does not apply to this link any more."""


class Stub:
    """What a stage holds of its link: the way out, one timer, its dice, and the power to end the connection.

    Args:
        dice: Randomness of this toxic on this connection.
        shared: What all stages of this toxic have in common, on whichever connection.
        was_open: The connection was open before the toxic; otherwise it began under it.
        opened_at_s: When the connection was made, in monotonic seconds.
        on_first_hit: Called when the toxic acts on this link for the first time.
        on_hit: Called whenever it acts.
        on_held: Called after a timer has run, when the stage may hold less than before.
        reply: Writes to the source itself, in the place of the other end.
        end_replies: Sends the source its end, behind what it was replied; nothing more reaches it.
        close: Closes both sides of the connection, after what was already sent.
        reset: Resets both sides at once (TCP RST).
    """

    __slots__ = (
        "_has_hit",
        "_on_first_hit",
        "_on_held",
        "_on_hit",
        "_timer",
        "close",
        "dice",
        "end",
        "end_replies",
        "opened_at_s",
        "reply",
        "reset",
        "send",
        "shared",
        "was_open",
    )

    def __init__(
        self,
        *,
        dice: Random,
        shared: dict[str, Any],
        was_open: bool,
        opened_at_s: float,
        on_first_hit: Callable[[], None],
        on_hit: Callable[[], None],
        on_held: Callable[[], None],
        reply: Callable[[bytes], None],
        end_replies: Callable[[], None],
        close: Callable[[], None],
        reset: Callable[[], None],
    ) -> None:
        self.dice = dice
        self.shared = shared
        self.was_open = was_open
        self.opened_at_s = opened_at_s
        self._on_first_hit = on_first_hit
        self._on_hit = on_hit
        self._has_hit = False
        self.reply = reply
        self.end_replies = end_replies
        self.close = close
        self.reset = reset
        self.send: Callable[[bytes], None] = _nowhere
        self.end: Callable[[], None] = _no_end
        self._on_held = on_held
        self._timer: asyncio.Handle | None = None

    def hit(self) -> None:
        """Tell that the toxic acts now: a judge needs proof that the fault was felt."""
        if not self._has_hit:
            self._has_hit = True
            self._on_first_hit()
        self._on_hit()

    def arm(self, delay_s: float, action: Callable[[], None]) -> None:
        """Call `action` once, `delay_s` seconds from now, instead of whatever was armed before.

        Never early: uvloop keeps time in whole milliseconds and may wake a little before it is due.
        """
        self.disarm()
        self._arm_until(self.now() + delay_s, action)

    def disarm(self) -> None:
        """Forget what was armed."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def now(self) -> float:
        """Return monotonic seconds. A loop's own clock stands still while callbacks run; this one does not."""
        return time.monotonic()

    def _arm_until(self, due_s: float, action: Callable[[], None]) -> None:
        loop, left_s = asyncio.get_running_loop(), due_s - self.now()
        if left_s <= 0:
            self._timer = loop.call_soon(self._run, due_s, action)
        else:
            self._timer = loop.call_later(math.ceil(left_s * 1000) / 1000, self._run, due_s, action)

    def _run(self, due_s: float, action: Callable[[], None]) -> None:
        if due_s > self.now():
            self._arm_until(due_s, action)
            return
        self._timer = None
        action()
        self._on_held()


def _nowhere(_data: bytes) -> None:
    """Drop bytes: the stage is not wired up yet, or its connection is gone."""


def _no_end() -> None:
    """Drop the end of the stream, as above."""
