"""A user on a bare socket: several times as many requests a core as an HTTP library, for one kind of conversation.

It keeps its connection, and understands answers that say their length or come in chunks. It follows no redirect, keeps
no cookie, speaks no TLS; whatever it does not understand is a failure. Unlike a client on `select`, whose connections
break beyond about a thousand in flight, it knows no such limit.
"""

from __future__ import annotations

import json
import math
import socket as plain
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import gevent
import httptools
from gevent import socket
from locust import User, task

from harness.history.samples import SampleOutcome
from harness.load.generator.users import OpenLoopUser

if TYPE_CHECKING:
    from locust.env import Environment

    from harness.load.generator.request import Request

_READ_BYTES = 1 << 16
_HTTP_PORT = 80
_OVERDUE_POLL_S = 0.1
_FRESH_S = 0.001
"""A connection that gave an answer less than this ago is not asked whether it is still there."""


class Answer:
    """What came back; fed by its parser, which calls the methods whose names begin with `on_`."""

    __slots__ = ("headers", "is_whole", "keeps_alive", "parser", "status_code")

    def __init__(self) -> None:
        self.status_code = 0
        self.headers: dict[str, str] = {}
        self.is_whole = self.keeps_alive = False
        self.parser = httptools.HttpResponseParser(self)

    def on_message_begin(self) -> None:
        """Forget the answer before."""
        self.headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the few headers that are about the answer's origin."""
        if name[:2] in {b"x-", b"X-"}:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_message_complete(self) -> None:
        """Know that all of it came, and whether the connection stays; a moment later the parser has forgotten."""
        self.is_whole, self.keeps_alive = True, self.parser.should_keep_alive()


class Connection:
    """One connection, opened when it is needed."""

    def __init__(self, host: str, port: int, *, connect_within_s: float, answer_within_s: float) -> None:
        self._place = host, port
        self._connect_within_s = connect_within_s
        self._answer_within_s = answer_within_s
        self._socket: Any = None
        self._plain: Any = None
        self._waits_since_s = math.inf
        self._heard_s = -math.inf
        self.answer = Answer()

    def ask(self, request: bytes) -> Answer:
        """Send a request, and return its answer: whole, or as far as it came.

        Raises:
            OSError: If there is no connection, or it breaks or pauses for too long.
            httptools.HttpParserError: If the answer is not HTTP.
        """
        if self._socket is None or (time.monotonic() - self._heard_s > _FRESH_S and self._was_closed()):
            self._open()
        try:
            self._send(request)
            self._waits_since_s = time.monotonic()
            self._read()
            self._heard_s, self._waits_since_s = self._waits_since_s, math.inf
        except BaseException:
            self.close()
            raise
        self.answer.status_code = self.answer.parser.get_status_code()
        if not self.answer.keeps_alive:
            self.close()
        return self.answer

    def close(self) -> None:
        """Close it, if it is open."""
        if self._socket is not None:
            self._socket.close()
            self._socket, self._waits_since_s = None, math.inf

    def give_up_if_overdue(self, now_s: float) -> None:
        """End a wait that is too long; whoever waits then reads the end of the answer.

        One greenlet asks this of all connections: a timer for each read would cost a quarter of the rate.
        """
        if now_s - self._waits_since_s > self._answer_within_s and self._socket is not None:
            self._waits_since_s = math.inf
            self._socket.shutdown(plain.SHUT_RDWR)

    def _open(self) -> None:
        self.close()
        self._socket = socket.create_connection(self._place, timeout=self._connect_within_s)
        self._socket.settimeout(None)  # see give_up_if_overdue
        self._plain = self._socket._sock  # noqa: SLF001 - the socket below, which never blocks
        self._socket.setsockopt(plain.IPPROTO_TCP, plain.TCP_NODELAY, 1)
        self.answer = Answer()

    def _send(self, request: bytes) -> None:
        """Send it in one piece, as nearly always; not by gevent's own sendall, which prepares for many."""
        try:
            sent = self._plain.send(request)
        except BlockingIOError:
            sent = 0
        if sent < len(request):
            self._socket.sendall(request[sent:])

    def _read(self) -> None:
        answer = self.answer
        answer.is_whole = answer.keeps_alive = False
        while not answer.is_whole:
            data = self._received()
            if not data:
                return
            answer.parser.feed_data(data)
            self._waits_since_s = time.monotonic()

    def _received(self) -> bytes:
        """Wait, then read: what was only just asked for is not there yet, which gevent's own recv would try first."""
        while True:
            self._socket._wait(self._socket._read_event)  # noqa: SLF001 - as its own recv does
            try:
                return bytes(self._plain.recv(_READ_BYTES))
            except BlockingIOError:  # woken for nothing
                continue

    def _was_closed(self) -> bool:
        """Tell whether the other side ended an idle connection: what was not sent yet may still go over a new one."""
        try:
            self._plain.recv(1, plain.MSG_PEEK)
        except BlockingIOError:
            return False
        return True  # bytes that nobody asked for are no better than an end


def _give_up_in_time(connections: set[Connection]) -> None:
    while True:
        gevent.sleep(_OVERDUE_POLL_S)
        now_s = time.monotonic()
        for connection in tuple(connections):
            with suppress(OSError):  # it may just have ended by itself
                connection.give_up_if_overdue(now_s)


class LeanUser(OpenLoopUser, User):
    """Room for one request at a time against the items of the judged service, on a bare socket."""

    abstract = True
    _all: ClassVar[set[Connection]] = set()

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        if not self._all:
            gevent.spawn(_give_up_in_time, self._all)
        parts = urlsplit(str(self.host))
        self._head = f"Host: {parts.netloc}\r\nUser-Agent: readiness\r\nAccept: */*\r\n"
        self._connection = Connection(
            parts.hostname or "",
            parts.port or _HTTP_PORT,
            connect_within_s=self.connection_timeout,
            answer_within_s=self.network_timeout,
        )
        self._all.add(self._connection)

    @task
    def send(self) -> None:
        """Send one request after the other; Locust's own way from a task to the next takes as long as a request."""
        while True:
            self.carry_out()
            self.wait_time()

    def renew(self) -> None:
        """Begin with a new connection."""
        self._connection.close()

    def ask(self, request: Request) -> tuple[SampleOutcome, Answer | None]:
        """Ask, and judge the answer by its status, and by whether all of it came."""
        try:
            answer = self._connection.ask(self._bytes_of(request))
        except (OSError, httptools.HttpParserError):
            return SampleOutcome.FAILED, None
        is_ok = answer.is_whole and 200 <= answer.status_code < 300
        return SampleOutcome.OK if is_ok else SampleOutcome.FAILED, answer

    def _bytes_of(self, request: Request) -> bytes:
        if request.operation == "read":
            return f"GET /items/{request.key} HTTP/1.1\r\n{self._head}\r\n".encode()
        body = json.dumps({"value": f"{request.key} at {request.intended_s:.6f}"})
        about = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"PUT /items/{request.key} HTTP/1.1\r\n{self._head}{about}\r\n{body}".encode()
