"""HTTP/1.1 for the API: requests in, answers out. It knows nothing of proxies.

A client holds no more than its share of us: its requests have a size and a time, and so has the taking of answers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import httptools

from harness.faultproxy.log import log
from harness.faultproxy.request_parser import RequestParser

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from harness.faultproxy.request_parser import Head

# A generous configuration is some kilobytes; Go limits headers to 1 MiB and bodies not at all.
MAX_BODY_BYTES = 8 * 2**20
MAX_HEAD_BYTES = 2**20
# So many requests may be sent before the first is answered; later ones wait in the kernel, count.
MAX_WAITING = 16
# How long a client may read what it was told before we close; Go's http.Server waits as long, seconds.
PARTING_S = 0.5
MALFORMED = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
)
HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Connection: close\r\n\r\n431 Request Header Fields Too Large"
)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client is waited for, in seconds; the figures are Toxiproxy's (2.12, observed).

    Attributes:
        request_s: For the whole of a request, from its first byte, and for the first one from the connect.
        idle_s: Between requests.
        answer_s: For an answer to be taken.
    """

    request_s: float = 15.0
    idle_s: float = 60.0
    answer_s: float = 30.0


PATIENCE = Patience()


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        method: In capitals.
        target: The path as sent, percent-encoded, with its query.
        user_agent: Empty if there is none.
        body: Never more than `MAX_BODY_BYTES`; empty if there was more.
        keeps_alive: The client wants the connection to stay.
        is_too_large: There was more body than is read.
    """

    method: str
    target: str
    user_agent: str
    body: bytes
    keeps_alive: bool = True
    is_too_large: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """One answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class HttpConnection(asyncio.Protocol):
    """One client of the API; its requests are answered one at a time, in order.

    Args:
        answer: Turns a request into a response and never raises.
        patience: How long the client is waited for.
    """

    def __init__(self, answer: Callable[[Request], Awaitable[Response]], patience: Patience = PATIENCE) -> None:
        self._answer = answer
        self._patience = patience
        self._parser = RequestParser(self)
        # Bytes are a refusal, and the last thing said.
        self._waiting: deque[Request | bytes] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._is_taken = asyncio.Event()
        self._is_taken.set()
        self._is_ended = self._is_refused = False
        self._begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._end_within(self._patience.request_s)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # a client may go as it likes
        """Forget the client; a request that is being worked on is finished."""
        self._end_never()
        self._waiting.clear()
        self._is_taken.set()

    def data_received(self, data: bytes) -> None:
        """Parse; what follows a refusal is read and dropped: bytes left unread would turn our end into a reset."""
        if self._is_refused:
            return
        try:
            self._parser.feed(data)
        except httptools.HttpParserUpgrade:
            # No tunnel is ever opened: the request for it is answered as any other, and the last.
            self._is_refused = True
        except httptools.HttpParserError:
            self._refuse(MALFORMED)
        if len(self._waiting) > MAX_WAITING:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Answer what was asked before the client fell silent, then close."""
        self._is_ended = True
        return self._worker is not None

    def pause_writing(self) -> None:
        """Note that the client does not take its answers."""
        self._is_taken.clear()

    def resume_writing(self) -> None:
        """Note that it does."""
        self._is_taken.set()

    def request_begins(self) -> None:
        """Start a request (called by the parser, as the next four are)."""
        self._begin()
        self._is_reading = True
        if not self._worker:
            self._end_within(self._patience.request_s)

    def head_grows(self, size_bytes: int) -> None:
        """Refuse a head that is far too large."""
        self._head_bytes += size_bytes
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(HEAD_TOO_LARGE)

    def head_ends(self, head: Head) -> None:
        """Ask for a body that the client holds back until asked."""
        self._head = head
        if head.awaits_continue:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def body_grows(self, part: bytes) -> None:
        """Collect the body; beyond its limit only count it, so that the client comes to read its answer."""
        self._body_bytes += len(part)
        if self._body_bytes > MAX_BODY_BYTES:
            self._body.clear()
        else:
            self._body.append(part)

    def request_ends(self) -> None:
        """Queue the request."""
        self._is_reading = False
        if not self._is_refused:
            self._queue(
                Request(
                    method=self._head.method,
                    target=self._head.path.decode("latin-1"),
                    user_agent=self._head.headers.get(b"user-agent", b"").decode("latin-1"),
                    body=b"".join(self._body),
                    keeps_alive=self._head.keeps_alive,
                    is_too_large=self._body_bytes > MAX_BODY_BYTES,
                )
            )

    def _begin(self) -> None:
        self._is_reading = False
        self._head_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0

    def _queue(self, asked: Request | bytes) -> None:
        self._waiting.append(asked)
        if not self._worker:
            self._end_never()
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._waiting and not self._transport.is_closing():
                await self._serve(self._waiting.popleft())
        finally:
            self._worker = None
        if not self._transport.is_closing():
            self._await_request()

    async def _serve(self, asked: Request | bytes) -> None:
        if isinstance(asked, bytes):
            self._transport.write(asked)
            self._part()
            return
        response = await self._answer(asked)
        if not self._transport.is_closing():
            await self._say(asked, response)
        if not (asked.keeps_alive or self._transport.is_closing()):
            self._part()

    async def _say(self, asked: Request, response: Response) -> None:
        self._transport.write(_head(asked, response))
        if asked.method != "HEAD":
            self._transport.write(response.body)
        await self._until_taken()

    async def _until_taken(self) -> None:
        """Wait until the client has taken its answer, nearly; one that does not is not waited for again."""
        try:
            async with asyncio.timeout(self._patience.answer_s):
                await self._is_taken.wait()
        except TimeoutError:
            self._transport.abort()

    def _await_request(self) -> None:
        if self._is_ended:
            self._transport.close()
        elif not self._is_refused:
            self._end_within(self._patience.request_s if self._is_reading else self._patience.idle_s)
            self._transport.resume_reading()

    def _refuse(self, answer: bytes) -> None:
        if not self._is_refused:
            log("debug", "Refused a malformed request")
            self._is_refused = True
            self._queue(answer)

    def _part(self) -> None:
        """End our side, and leave the client a moment to read before the connection is gone."""
        self._is_refused = True
        self._transport.write_eof()
        self._transport.resume_reading()
        self._end_within(PARTING_S)

    def _end_within(self, seconds: float) -> None:
        self._end_never()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self._transport.abort)

    def _end_never(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None


def _head(request: Request, response: Response) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    lines.append(f"Date: {formatdate(usegmt=True)}")
    if response.status != HTTPStatus.NO_CONTENT and request.method != "HEAD":
        lines.append(f"Content-Length: {len(response.body)}")
    if not request.keeps_alive:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
