"""The control: requests to a server that does nothing, interleaved with the judged ones, from the same generator.

Nothing is ever injected there, so what goes wrong with them is the machine's doing, or the generator's.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import gevent
from gevent import socket

from harness.history.load import CONTROL_WITHIN_S
from harness.load.generator.pacing import sleeper

if TYPE_CHECKING:
    from collections.abc import Callable

PER_S = 10.0
"""Costs half a percent of a core, and shows any stall that a tenth of the requests could meet."""

QUESTION = b"GET /control HTTP/1.1\r\nHost: control\r\n\r\n"


class Control:
    """One connection to a server that does nothing.

    Args:
        port: Where it listens on loopback.
        on_answer: Told the latency of each request from its intended start, seconds.
    """

    def __init__(self, port: int, on_answer: Callable[[float], object]) -> None:
        self._port = port
        self._on_answer = on_answer
        self._connection: socket.socket | None = None

    def ask_from(self, begins_s: float) -> None:
        """Ask at a steady rate from a moment of the monotonic clock on, until killed; late ones are not left out."""
        sleep_until, count = sleeper(), 0
        while True:
            intended_s = begins_s + count / PER_S
            sleep_until(intended_s)
            is_answered = self._ask()
            self._on_answer(time.monotonic() - intended_s if is_answered else CONTROL_WITHIN_S)
            count += 1

    def _ask(self) -> bool:
        """Tell whether there was an answer in time."""
        try:
            with gevent.Timeout(CONTROL_WITHIN_S, TimeoutError):
                self._connection = self._connection or socket.create_connection(("127.0.0.1", self._port))
                self._connection.sendall(QUESTION)
                if self._connection.recv(4096):
                    return True
        except OSError:  # TimeoutError is one
            pass
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        return False
