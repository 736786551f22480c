"""How one knows a component, whatever it runs as: is it well, how fast does it answer, what is it."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import StackError
from harness.stack.service import SERVICE_ANSWERS_WITHIN_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.stack.service import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthProbe:
    """How one knows a component; the same for a local process and for a container.

    Attributes:
        is_answering: Asks it through an address, at once; may raise OSError.
        question: Its cheapest question, which needs nothing that was said before on a connection; empty for what is
            asked nothing.
        long_question: A question whose answer has at least so many bytes, after which the server ends the connection;
            it changes nothing there. None where no such question is known.
        version: See `Service.version`.
        greets: Whether it speaks first: then its greeting is what it is known to answer by.
        listens: Whether it listens at all; what does not is looked at as a process instead of being asked.
        is_refusing: Tells whether it answers, and not that it is not ready yet: to wait longer would change nothing.
        seen: Says in one clause what it answers, for the one who waits in vain; nothing if there is nothing to say.
    """

    is_answering: Callable[[Address], bool]
    question: bytes
    long_question: Callable[[int], bytes] | None
    version: Callable[[Address], str]
    greets: bool = False
    listens: bool = True
    is_refusing: Callable[[Address], bool] = lambda _: False
    seen: Callable[[Address], str] = lambda _: ""

    def round_trip_s(self, via: Address, within_s: float) -> float:
        """See `Service.round_trip_s`; of what neither answers nor greets, that it accepts is all that can be known."""
        is_heard = bool(self.question) or self.greets
        return seconds_to_answer(via, self.question, within_s) if is_heard else seconds_to_connect(via, within_s)

    def asking_for(self, length_bytes: int, name: str) -> bytes:
        """See `Service.long_question`; `name` is the service's."""
        if self.long_question is None:
            what = f"nothing is known that could be asked of {name}" if self.listens else f"{name} listens nowhere"
            raise StackError(what, where=name, fix="target something that answers")
        return self.long_question(length_bytes)


def connected(address: Address, within_s: float) -> socket.socket:
    """Return a new connection, over TLS where that is spoken there.

    Raises:
        OSError: If there is none in time; ssl.SSLError, which is one, if who answers is not believed.
    """
    connection = socket.create_connection((address.host, address.port), timeout=within_s)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address.tls is None:
            return connection
        return address.tls.context().wrap_socket(connection, server_hostname=address.host)
    except BaseException:
        connection.close()
        raise


def seconds_to_connect(address: Address, within_s: float) -> float:
    """Return the seconds until a connection is accepted.

    Raises:
        OSError: If it is refused; TimeoutError if it is not accepted in time.
    """
    began_s = time.perf_counter()
    with socket.create_connection((address.host, address.port), timeout=within_s):
        return time.perf_counter() - began_s


def seconds_to_answer(address: Address, question: bytes, within_s: float = SERVICE_ANSWERS_WITHIN_S) -> float:
    """Return the seconds from sending `question` to the first byte of its answer; connecting is not counted.

    One question over one new connection: the plainest way to see what a path does to a conversation.

    Raises:
        OSError: If the connection is refused or ends without an answer; TimeoutError if there is none in time.
    """
    with connected(address, within_s) as connection:
        began_s = time.perf_counter()
        connection.sendall(question)
        if not connection.recv(1):
            raise ConnectionError(f"{address} closed the connection without an answer")
        return time.perf_counter() - began_s
