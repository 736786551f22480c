"""The control: requests to a server that does nothing, interleaved with the judged ones, from the same generator.

Nothing is ever injected there, so what goes wrong with them is the machine's doing, or the generator's. Another server
computes for each request as long as the service does: it feels what a service feels that computes, where one that only
waits is woken at once by a fair scheduler.
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

COMPUTING_RATIO = 0.05
"""Of a core: what the computing part of the control may use, so that it does not take what the service needs."""

COMPUTES_MAX_S = 1.0
"""A request of the control computes no longer; a service that does cannot be pressed on a machine of a few cores."""

QUESTION = b"GET /control HTTP/1.1\r\nHost: control\r\n\r\n"


class Control:
    """One connection to a server that does nothing.

    Args:
        port: Where it listens on loopback.
        on_answer: Told the latency of each request from its intended start, seconds.
        question: What is asked.
        per_s: How often.
    """

    def __init__(
        self,
        port: int,
        on_answer: Callable[[float], object],
        *,
        question: bytes = QUESTION,
        per_s: float = PER_S,
    ) -> None:
        self._port = port
        self._on_answer = on_answer
        self._question = question
        self._per_s = per_s
        self._connection: socket.socket | None = None

    def ask_from(self, begins_s: float) -> None:
        """Ask at a steady rate from a moment of the monotonic clock on, until killed; late ones are not left out."""
        sleep_until, count = sleeper(), 0
        while True:
            intended_s = begins_s + count / self._per_s
            sleep_until(intended_s)
            is_answered = self._ask()
            self._on_answer(time.monotonic() - intended_s if is_answered else CONTROL_WITHIN_S)
            count += 1

    def _ask(self) -> bool:
        """Tell whether there was an answer in time."""
        try:
            with gevent.Timeout(CONTROL_WITHIN_S, TimeoutError):
                self._connection = self._connection or socket.create_connection(("127.0.0.1", self._port))
                self._connection.sendall(self._question)
                if self._connection.recv(4096):
                    return True
        except OSError:  # TimeoutError is one
            pass
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        return False


def computing(port: int, compute_s: float, on_answer: Callable[[float, float], object]) -> Control:
    """Return the part of the control that computes for each request.

    Args:
        port: Where a server that does nothing else listens on loopback.
        compute_s: Processor time that the service uses for a request.
        on_answer: Told what each request was to compute, and its latency from its intended start, seconds.
    """
    asked_s = min(compute_s, COMPUTES_MAX_S)
    question = QUESTION.replace(b"/control", b"/compute/%.6f" % asked_s)
    per_s = min(PER_S, COMPUTING_RATIO / asked_s)
    return Control(port, lambda latency_s: on_answer(asked_s, latency_s), question=question, per_s=per_s)
