"""Clients on a bad line: connections beside the load, each of which takes its answer, or says its request, in drips."""

from __future__ import annotations

import socket as plain
import time
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import gevent
import httptools
from gevent import socket

from harness.load.dripping import TICK_S, Drips, Pace, own_share
from harness.load.generator.lean import HTTP_PORT, is_interim, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.load.filling import Clients
    from harness.load.plan import LoadPlan
    from harness.spec.faults import SlowReaders

NUMBERS_FROM = 1 << 40
"""Of their requests, so that what is `{unique}` in them is in no request of the schedule."""

RECEIVES_BYTES = 1
"""Asked of the kernel as the room for what has come and was not read: it gives the least it can (Linux: 2304 bytes)."""

CONNECT_WITHIN_S = 2.0
ANSWER_WITHIN_S = 5.0


class _Ended:
    """Whether an answer is whole; fed by its parser."""

    def __init__(self) -> None:
        self.is_whole = False
        self.parser = httptools.HttpResponseParser(self)

    def on_message_complete(self) -> None:
        self.is_whole = not is_interim(self.parser.get_status_code())

    def feed(self, data: bytes) -> bool:
        """Take a piece, and tell whether the connection may be used again; an end without an answer is none."""
        if not data:
            raise ConnectionError("the service ended the connection")
        self.parser.feed_data(data)
        return not self.is_whole or bool(self.parser.should_keep_alive())


class SlowClient:
    """One connection, held for as long as it is let live.

    Args:
        place: Host and port.
        questions: What it asks, one after the other.
        per_s: Bytes a second that it lets pass.
        is_upstream: Whether its requests are slow, else its answers.
        drips: Where it is counted.
    """

    def __init__(
        self, place: tuple[str, int], questions: Iterator[bytes], *, per_s: int, is_upstream: bool, drips: Drips
    ) -> None:
        self._place = place
        self._questions = questions
        self._pace = Pace(per_s)
        self._converse = self._say_slowly if is_upstream else self._read_slowly
        self._receives_little = not is_upstream
        self._drips = drips
        self._passed_s = 0.0

    def hold(self) -> None:
        """Hold a connection until killed: one that the service ends is opened anew after a tick."""
        while True:
            try:
                self._hold_one()
            except (OSError, httptools.HttpParserError):
                self._drips.ended += 1
                gevent.sleep(TICK_S)

    def _hold_one(self) -> None:
        connection = self._opened()
        self._drips.held += 1
        try:
            stays = True
            while stays:
                stays = self._converse(connection, next(self._questions))
        finally:
            self._drips.held -= 1
            connection.close()

    def _opened(self) -> Any:
        family, kind, protocol, _, address = socket.getaddrinfo(*self._place, 0, plain.SOCK_STREAM)[0]
        connection = socket.socket(family, kind, protocol)
        try:
            if self._receives_little:
                connection.setsockopt(plain.SOL_SOCKET, plain.SO_RCVBUF, RECEIVES_BYTES)  # before it tells its window
            connection.setsockopt(plain.IPPROTO_TCP, plain.TCP_NODELAY, 1)
            connection.settimeout(CONNECT_WITHIN_S)
            connection.connect(address)
            connection.settimeout(ANSWER_WITHIN_S)
        except BaseException:
            connection.close()
            raise
        return connection

    def _read_slowly(self, connection: Any, question: bytes) -> bool:
        """Ask at once, and take the answer in drips; tell whether the connection stays."""
        connection.sendall(question)
        answer, stays = _Ended(), True
        while not answer.is_whole:
            if wanted := self._next_bytes():
                data = connection.recv(wanted)
                stays = answer.feed(data)
                self._drips.passed_bytes += len(data)
        return stays

    def _say_slowly(self, connection: Any, question: bytes) -> bool:
        """Say the request in drips, and take the answer at once; one that comes before all is said refuses it."""
        said = 0
        while said < len(question):
            part = question[said : said + self._next_bytes()]
            if _has_something_to_read(connection):
                raise ConnectionError("the service waits no longer for the request")
            connection.sendall(part)
            said += len(part)
            self._drips.passed_bytes += len(part)
        answer, stays = _Ended(), True
        while not answer.is_whole:
            stays = answer.feed(connection.recv(1 << 16))
        return stays

    def _next_bytes(self) -> int:
        """Wait for the next tick, and return how many bytes may pass then."""
        began_s = time.monotonic()
        gevent.sleep(TICK_S)
        return self._pace.due_bytes(time.monotonic() - began_s)


def _has_something_to_read(connection: Any) -> bool:
    """Tell whether there is an answer, or an end of the connection, that was not read."""
    try:
        connection._sock.recv(1, plain.MSG_PEEK)  # noqa: SLF001 - the socket below, which never blocks
    except BlockingIOError:
        return False
    return True


def held_until(sleep_until: Callable[[], object], clients: list[SlowClient]) -> None:
    """Let clients hold their connections for a while, begun one after the other within a second; then close all."""
    holding = [gevent.spawn_later(index / len(clients), client.hold) for index, client in enumerate(clients)]
    try:
        sleep_until()
    finally:
        gevent.killall(holding)


def slow_clients(plan: LoadPlan, fault: SlowReaders, drips: Drips, clients: Clients) -> list[SlowClient]:
    """Return one generator's share of the clients of a fault; each asks one key, each time with a number of its own."""
    request = next(each for each in plan.load.asked if each.name == fault.asks)
    parts, keys = urlsplit(plan.base_url), request.keys or plan.load.keys
    write = written(request, parts.netloc, plan.mark, clients)
    index, of = plan.share
    numbers = count(NUMBERS_FROM + index, of)
    return [
        SlowClient(
            (parts.hostname or "", parts.port or HTTP_PORT),
            _questions(write, keys.first + client % keys.count, numbers),
            per_s=fault.rate,
            is_upstream=fault.stream == "upstream",
            drips=drips,
        )
        for client in range(own_share(fault.connections, plan.share))
    ]


def _questions(write: Callable[[int, int], bytes], key: int, numbers: Iterator[int]) -> Iterator[bytes]:
    for number in numbers:
        yield write(key, number)
