"""A user on a bare socket: several times as many requests a core as an HTTP library, for one kind of conversation.

It keeps its connection, and understands answers that say their length or come in chunks. It follows no redirect, keeps
no cookie, speaks no TLS; whatever it does not understand is a failure. Unlike a client on `select`, whose connections
break beyond about a thousand in flight, it knows no such limit.
"""

from __future__ import annotations

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
from harness.load.filling import ANONYMOUS, filling
from harness.load.generator.users import OpenLoopUser

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from locust.env import Environment

    from harness.load.filling import Clients, Filling
    from harness.load.generator.request import Request
    from harness.load.plan import LoadPlan
    from harness.spec.requests import DeclaredRequest

_READ_BYTES = 1 << 16
HTTP_PORT = 80
_OVERDUE_POLL_S = 0.1
_EXPECTED_TO_HAVE_BODIES = ("POST", "PUT", "PATCH")
"""Without a body they say that its length is 0 (RFC 9110, section 8.6)."""
_FRESH_S = 0.001
"""A connection that gave an answer less than this ago is not asked whether it is still there."""


def is_interim(status_code: int) -> bool:
    """Tell whether the answer itself is still to come, as after 103 (RFC 9110, section 15.2); 101 leaves HTTP."""
    return status_code < 200 and status_code != 101


class Answer:
    """What came back; fed by its parser, which calls the methods whose names begin with `on_`.

    Args:
        told: The headers to keep, in small letters, each with its name in `headers`.
    """

    __slots__ = ("headers", "is_whole", "keeps_alive", "parser", "status_code", "told")

    def __init__(self, told: Mapping[bytes, str]) -> None:
        self.told = told
        self.status_code = 0
        self.headers: dict[str, str] = {}
        self.is_whole = self.keeps_alive = False
        self.parser = httptools.HttpResponseParser(self)

    def on_message_begin(self) -> None:
        """Forget the answer before."""
        self.headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the few headers that tell where the answer came from."""
        told = self.told.get(name.lower())
        if told is not None:
            self.headers[told] = value.decode("latin-1")

    def on_message_complete(self) -> None:
        """Know that all of it came, and whether the connection stays; a moment later the parser has forgotten."""
        if is_interim(self.parser.get_status_code()):
            return
        self.is_whole, self.keeps_alive = True, self.parser.should_keep_alive()


class KeptAnswer(Answer):
    """The same, with its body."""

    __slots__ = ("content",)

    def on_message_begin(self) -> None:
        """Forget the answer before."""
        super().on_message_begin()
        self.content = b""

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        self.content += body


class Connection:
    """One connection, opened when it is needed."""

    def __init__(
        self, host: str, port: int, *, connect_within_s: float, answer_within_s: float, new_answer: Callable[[], Answer]
    ) -> None:
        self._place = host, port
        self._connect_within_s = connect_within_s
        self._answer_within_s = answer_within_s
        self._socket: Any = None
        self._plain: Any = None
        self._waits_since_s = math.inf
        self._heard_s = -math.inf
        self._new_answer = new_answer
        self.answer = new_answer()

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
        """End a wait that is too long; the reading that waits then sees the end of the answer.

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
        self.answer = self._new_answer()

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
        return True  # bytes that were not asked for are no better than an end


def _give_up_in_time(connections: set[Connection]) -> None:
    while True:
        gevent.sleep(_OVERDUE_POLL_S)
        now_s = time.monotonic()
        for connection in tuple(connections):
            with suppress(OSError):  # it may just have ended by itself
                connection.give_up_if_overdue(now_s)


class LeanUser(OpenLoopUser, User):
    """Room for one request at a time, of those that are declared, on a bare socket."""

    abstract = True
    kinds: ClassVar[tuple[tuple[Filling, Filling | None, frozenset[int]], ...]]
    told: ClassVar[dict[bytes, str]]
    kind_of_answer: ClassVar[type[Answer]]
    _all: ClassVar[set[Connection]] = set()

    @staticmethod
    def prepared(plan: LoadPlan, clients: Clients) -> dict[str, Any]:
        """Return what a plan asks, ready to be sent, and what it wants to be told, as attributes of a class."""
        host, told = urlsplit(plan.base_url).netloc, plan.load.told
        checked = [check.header for request in plan.load.asked for check in request.checks]
        names = [name.lower() for name in (told.cache, told.replica, told.version, *checked) if name]
        kinds = tuple(
            (filling(_head(each, host), plan.mark, clients), _body(each, plan.mark, clients), each.proper)
            for each in plan.load.asked
        )
        kind_of_answer = KeptAnswer if plan.needs_bodies else Answer
        return {"kinds": kinds, "told": {name.encode(): name for name in names}, "kind_of_answer": kind_of_answer}

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        if not self._all:
            gevent.spawn(_give_up_in_time, self._all)
        parts = urlsplit(str(self.host))
        self._connection = Connection(
            parts.hostname or "",
            parts.port or HTTP_PORT,
            connect_within_s=self.connection_timeout,
            answer_within_s=self.network_timeout,
            new_answer=lambda: self.kind_of_answer(self.told),
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
        except (OSError, httptools.HttpParserError) as error:
            return self.queue.outcome_of(error), None
        is_ok = answer.is_whole and answer.status_code in self.kinds[request.kind][2]
        return SampleOutcome.OK if is_ok else SampleOutcome.FAILED, answer

    def _bytes_of(self, request: Request) -> bytes:
        head, body, _ = self.kinds[request.kind]
        return _written(head, body, request.key, request.number)


def written(
    request: DeclaredRequest, host: str, mark: str, clients: Clients = ANONYMOUS
) -> Callable[[int, int], bytes]:
    """Return what writes a declared request as it goes over a socket, for a key and a number in a load of this mark."""
    head, body = filling(_head(request, host), mark, clients), _body(request, mark, clients)
    return lambda key, number: _written(head, body, key, number)


def _written(head: Filling, body: Filling | None, key: int, number: int) -> bytes:
    text = head(key, number)
    if body is None:
        return f"{text}\r\n".encode()
    sent = body(key, number).encode()
    return f"{text}Content-Length: {len(sent)}\r\n\r\n".encode() + sent


def _head(request: DeclaredRequest, host: str) -> str:
    """Return the head of a request as a template, but for its end; what is declared replaces what any client says."""
    usual = {"host": host, "user-agent": "readiness", "accept": "*/*"}
    headers = usual | {name.lower(): value for name, value in request.headers.items()}
    lines = [f"{request.method} {request.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "".join(f"{line}\r\n" for line in lines)


def _body(request: DeclaredRequest, mark: str, clients: Clients) -> Filling | None:
    if request.body is None and request.method in _EXPECTED_TO_HAVE_BODIES:
        return filling("", mark)
    return filling(request.body, mark, clients) if request.body is not None else None
