"""How we speak with a generator: JSON lines to and from a child process, or a worker on another machine."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import socket

_GONE_WITHIN_S = 2.0


class Lines:
    """JSON lines of a pipe or a socket, without ever waiting longer than asked to."""

    def __init__(self, descriptor: int) -> None:
        self.is_at_end = False
        self._descriptor = descriptor
        self._held = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(descriptor, selectors.EVENT_READ)

    def take(self, wait_s: float) -> dict[str, Any] | None:
        """Return the next whole line, waiting up to `wait_s` for it; None if there is none."""
        if b"\n" not in self._held and not self.is_at_end and self._selector.select(wait_s):
            data = self._read()
            self._held += data
            self.is_at_end = not data
        line, newline, rest = self._held.partition(b"\n")
        if not newline:
            return None
        self._held = rest
        return self._understood(line)

    def _understood(self, line: bytes) -> dict[str, Any] | None:
        """Return what a line says; a worker that does not speak our language is not listened to any longer."""
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        if isinstance(said, dict):
            return said
        self.is_at_end, self._held = True, b""
        return None

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, 1 << 20)
        except OSError:  # a connection that was reset has ended as well
            return b""


class Link(Protocol):
    """One generator, as its parent holds it.

    Attributes:
        lines: What it says.
        pid: Its process id, where it is a child of ours.
    """

    lines: Lines
    pid: int | None

    def tell(self, line: str) -> None:
        """Say something to it; harmless if it has ended."""

    def has_ended(self) -> bool:
        """Tell whether it will never say anything any more, beyond what it said already."""

    def status(self) -> str:
        """Say how it ended, if that is known: ` (exit -9)`."""

    def end(self) -> None:
        """See to it that it ends."""


class ChildLink:
    """A generator that is our own child."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        if child.stdin is None or child.stdout is None:
            raise TypeError("the generator was started without an input or an output")
        self.pid: int | None = child.pid
        self._child = child
        self._input = child.stdin
        self._output = child.stdout
        self.lines = Lines(child.stdout.fileno())

    def tell(self, line: str) -> None:
        """Write to its input."""
        with suppress(BrokenPipeError):  # the next reading of its output shows that it died
            self._input.write(line.encode() + b"\n")
            self._input.flush()

    def has_ended(self) -> bool:
        """Tell whether the process is gone."""
        return self._child.poll() is not None

    def status(self) -> str:
        """Return its exit code."""
        if self.lines.is_at_end:
            with suppress(subprocess.TimeoutExpired):  # its pipe ends a moment before it does
                self._child.wait(_GONE_WITHIN_S)
        code = self._child.poll()
        return "" if code is None else f" (exit {code})"

    def end(self) -> None:
        """End it; it also ends by itself when its input does, which is how it sees our death."""
        with suppress(BrokenPipeError):
            self._input.close()
        try:
            self._child.wait(_GONE_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._child.pid, signal.SIGKILL)  # not yet waited for, so the number is still its own
            self._child.wait()
        self._output.close()


class SocketLink:
    """A generator on another machine, behind the worker that holds this connection."""

    def __init__(self, connection: socket.socket, lines: Lines) -> None:
        self.pid: int | None = None
        self._connection = connection
        self.lines = lines

    def tell(self, line: str) -> None:
        """Write to the connection."""
        with suppress(OSError):  # the next reading from it shows that it ended
            self._connection.sendall(line.encode() + b"\n")

    def has_ended(self) -> bool:
        """Tell whether the connection has."""
        return self.lines.is_at_end

    def status(self) -> str:
        """Return nothing: why a connection ends is not known at this end."""
        return ""

    def end(self) -> None:
        """Close the connection; the worker ends its generator then."""
        self._connection.close()
