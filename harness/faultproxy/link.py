"""One direction of one connection: a source, the stages of its toxics, a sink.

Without toxics the source writes straight into the sink's transport; nothing of this file runs for a byte.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Protocol

from harness.faultproxy.toxics.stage import Stub

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from harness.faultproxy.endpoint import Endpoint
    from harness.faultproxy.toxic import Toxic
    from harness.faultproxy.toxics.stage import Stage

# Toxics see data in pieces of at most this size (Toxiproxy 2.12, observed).
PIECE_BYTES = 32 * 1024


class Conversation(Protocol):
    """What a link needs of the connection that it is one direction of."""

    is_closing: bool
    opened_at_s: float

    def toxics(self, stream: str) -> list[Toxic]:
        """Return the toxics of one direction, in order."""

    def dice(self, toxic: Toxic, purpose: str) -> Random:
        """Return the dice of `toxic` on this connection."""

    def suffers(self, toxic: Toxic) -> bool:
        """Tell whether `toxic` applies here."""

    def was_open_before(self, toxic: Toxic) -> bool:
        """Tell whether the toxic came later."""

    def first_hit(self, toxic: Toxic) -> None:
        """Note that `toxic` has acted here for the first time."""

    def link_finished(self, link: Link) -> None:
        """Pass an end on that has reached its sink."""

    def close(self) -> None:
        """End both sides, after what was already written."""

    def reset(self) -> None:
        """Reset both sides now."""


class Link:
    """Bytes flow from `source` to `sink` through the stages, and the end of the stream behind them.

    Args:
        connection: The connection this is one direction of.
        stream: `upstream` (client to server) or `downstream`.
        source: Where bytes are read.
        sink: Where they are written.

    Attributes:
        is_finished: The end of the stream has reached the sink.
        is_reset: The source ended with a reset rather than in order.
    """

    __slots__ = (
        "_connection",
        "_direct_bytes",
        "_first_end",
        "_first_receive",
        "_has_replied",
        "_is_paused",
        "_staged_in_bytes",
        "_staged_out_bytes",
        "_stages",
        "is_finished",
        "is_reset",
        "sink",
        "source",
        "stream",
    )

    def __init__(self, connection: Conversation, stream: str, source: Endpoint, sink: Endpoint) -> None:
        self._connection = connection
        self.stream = stream
        self.source = source
        self.sink = sink
        self._stages: dict[Toxic, tuple[Stage, Stub]] = {}
        self._first_receive: Callable[[bytes], None] = drop
        self._first_end: Callable[[], None] = self._finish
        self._is_paused = self._has_replied = False
        # What passed without stages; while there are none, only the source knows.
        self._direct_bytes: int | None = 0
        self._staged_in_bytes = self._staged_out_bytes = 0
        self.is_finished = self.is_reset = False

    @property
    def moved_bytes(self) -> tuple[int, int]:
        """Return how many bytes the source has sent so far, and how many were written to the sink.

        What goes through stages is counted here: of a source that nobody reads the kernel counts the end as a byte.
        """
        direct = self._count_direct() if self._direct_bytes is None else self._direct_bytes
        return direct + self._staged_in_bytes, direct + self._staged_out_bytes

    def start(self) -> None:
        """Apply the toxics the proxy has now, and let bytes flow."""
        for toxic in self._connection.toxics(self.stream):
            self._admit(toxic)
        self._rewire()

    def add(self, toxic: Toxic) -> None:
        """Apply a toxic that was just created."""
        self._admit(toxic)
        self._rewire()

    def change(self, toxic: Toxic) -> None:
        """Follow a toxic whose settings or toxicity were changed."""
        applied = self._stages.get(toxic)
        if not self._connection.suffers(toxic):
            self.remove(toxic)
        elif applied:
            applied[0].retune(toxic.settings)
            self.balance()
        else:
            self.add(toxic)

    def remove(self, toxic: Toxic) -> None:
        """Take a toxic out; what it holds goes on at once, so this never waits for a reader."""
        applied = self._stages.get(toxic)
        if applied:
            applied[0].release()
            applied[1].disarm()
            self._stages.pop(toxic, None)
            self._has_replied = False
            self._rewire()
            self.balance()

    def remove_all(self) -> None:
        """Take every toxic out; what one holds goes through those behind it, which hand it on in their turn."""
        for stage, stub in [self._stages[toxic] for toxic in self._ordered()]:
            stage.release()
            stub.disarm()
        self._stages.clear()
        self._has_replied = False
        self._rewire()
        self.balance()

    def source_ended(self, *, is_reset: bool) -> None:
        """Send the end of the stream after the bytes."""
        self.is_reset = is_reset
        self._first_end()

    def abandon(self) -> None:
        """Drop what is held and what may still come: its receiver is gone."""
        for _, stub in self._stages.values():
            stub.disarm()
            stub.send, stub.end = drop, _ignore_end
        self._stages.clear()
        self._first_receive, self._first_end = drop, _ignore_end
        self._deliver_staged()
        self.balance()

    def balance(self) -> None:
        """Stop reading from the source while the sink or a stage cannot take more; read on when both can.

        A source that is answered by a stage is heard no more while it does not take its answers.
        """
        should_pause = (
            self.sink.is_congested
            or (self._has_replied and self.source.is_congested)
            or any(stage.is_full for stage, _ in self._stages.values())
        )
        if should_pause != self._is_paused and self.source.is_readable:
            self._is_paused = should_pause
            self.source.set_reading(not should_pause)

    def _admit(self, toxic: Toxic) -> None:
        if not self._connection.suffers(toxic):
            return
        stub = Stub(
            dice=self._connection.dice(toxic, "stage"),
            shared=toxic.shared,
            was_open=self._connection.was_open_before(toxic),
            opened_at_s=self._connection.opened_at_s,
            on_first_hit=functools.partial(self._connection.first_hit, toxic),
            on_hit=toxic.hit,
            on_held=self.balance,
            reply=self._reply,
            end_replies=self._end_replies,
            close=self._connection.close,
            reset=self._connection.reset,
        )
        self._stages[toxic] = (toxic.settings.stage(stub), stub)

    def _rewire(self) -> None:
        """Connect each stage with the next, in the order of the proxy's toxics, from the sink backwards."""
        if self._connection.is_closing or self.sink.is_lost or self.is_finished:
            return
        receive, end = self._write, self._finish
        ordered = self._ordered()
        for stage, stub in (self._stages[toxic] for toxic in reversed(ordered)):
            stub.send, stub.end = receive, end
            receive, end = stage.receive, stage.end
        self._first_receive, self._first_end = receive, end
        if ordered:
            self._deliver_staged()
        else:
            self._direct_bytes = None
            self.source.deliver_to(self.sink.transport.write)

    def _ordered(self) -> list[Toxic]:
        return [toxic for toxic in self._connection.toxics(self.stream) if toxic in self._stages]

    def _deliver_staged(self) -> None:
        if self._direct_bytes is None:
            self._direct_bytes = self._count_direct()
        self.source.deliver_to(self._receive)

    def _count_direct(self) -> int:
        return self.source.received_bytes - self._staged_in_bytes

    def _receive(self, data: bytes) -> None:
        self._staged_in_bytes += len(data)
        for start in range(0, len(data), PIECE_BYTES):
            self._first_receive(data[start : start + PIECE_BYTES])
        self.balance()

    def _reply(self, data: bytes) -> None:
        # The other end may have finished sending already; then no answer is expected.
        if not (self.source.is_lost or self.source.incoming.is_finished):
            self._has_replied = True
            self.source.transport.write(data)

    def _end_replies(self) -> None:
        incoming = self.source.incoming
        if not (self.source.is_lost or incoming.is_finished):
            incoming.abandon()
            incoming.is_finished = True
            self.source.end_writing()

    def _write(self, data: bytes) -> None:
        self._staged_out_bytes += len(data)
        self.sink.transport.write(data)

    def _finish(self) -> None:
        self.is_finished = True
        self._connection.link_finished(self)


def drop(_data: bytes) -> None:
    """Take bytes to nowhere."""


def _ignore_end() -> None:
    """Take the end of the stream to nowhere."""
