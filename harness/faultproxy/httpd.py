"""HTTP/1.1 for the API: bytes to requests (parsed by httptools), answers to bytes. It knows nothing of proxies."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import httptools

from harness.faultproxy.log import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

# A generous configuration is some kilobytes; Go limits headers to 1 MiB and bodies not at all.
MAX_BODY_BYTES = 8 * 2**20
MAX_HEAD_BYTES = 2**20
# Toxiproxy's idle timeout, seconds (Toxiproxy 2.12, observed).
IDLE_S = 60.0
MALFORMED = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
)
TOO_LARGE = b"HTTP/1.1 413 Request Entity Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        method: In capitals.
        target: The request target as sent, percent-encoded, with its query.
        user_agent: Empty if there is none.
        body: Never more than `MAX_BODY_BYTES`.
        keeps_alive: The client wants the connection to stay.
    """

    method: str
    target: str
    user_agent: str
    body: bytes
    keeps_alive: bool = True


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
    """

    def __init__(self, answer: Callable[[Request], Awaitable[Response]]) -> None:
        self._answer = answer
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self.on_message_begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # a client may go as it likes
        """Forget the client; a request that is being worked on is finished."""
        self._stop_idle()
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self._stop_idle()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # An upgrade is never accepted: the request was complete and is answered as any other, and the last.
            self._transport.pause_reading()
        except httptools.HttpParserError:
            self._give_up(MALFORMED)

    def on_message_begin(self) -> None:
        """Start a request (called by the parser, as all `on_` methods are)."""
        self._target = b""
        self._head_bytes = 0
        self._user_agent = self._expects = b""
        self._body: list[bytes] = []
        self._body_bytes = 0

    def on_url(self, part: bytes) -> None:
        """Collect the request target, which may come in parts."""
        self._target += part
        self._count_head(part)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note the two headers that matter."""
        self._count_head(name + value)
        match name.lower():
            case b"user-agent":
                self._user_agent = value
            case b"expect":
                self._expects = value.lower()

    def on_headers_complete(self) -> None:
        """Ask for a body that the client holds back until asked."""
        if self._expects == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        """Collect the body, up to its limit."""
        self._body_bytes += len(part)
        if self._body_bytes > MAX_BODY_BYTES:
            self._give_up(TOO_LARGE)
        else:
            self._body.append(part)

    def on_message_complete(self) -> None:
        """Queue the request."""
        if self._transport.is_closing():
            return
        self._waiting.append(
            Request(
                method=self._parser.get_method().decode("latin-1"),
                target=self._target.decode("latin-1"),
                user_agent=self._user_agent.decode("latin-1"),
                body=b"".join(self._body),
                keeps_alive=self._parser.should_keep_alive() and not self._parser.should_upgrade(),
            )
        )
        if not self._worker:
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._waiting and not self._transport.is_closing():
                await self._serve(self._waiting.popleft())
        finally:
            self._worker = None
        self._await_request()

    async def _serve(self, request: Request) -> None:
        response = await self._answer(request)
        self._transport.write(_head(request, response))
        if request.method != "HEAD":
            self._transport.write(response.body)
        if not request.keeps_alive:
            self._transport.close()

    def _count_head(self, part: bytes) -> None:
        self._head_bytes += len(part)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._give_up(TOO_LARGE)

    def _give_up(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            log("debug", "Refused a malformed request")
            self._transport.write(answer)
            self._transport.close()

    def _await_request(self) -> None:
        if not self._transport.is_closing():
            self._stop_idle()
            self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._transport.close)

    def _stop_idle(self) -> None:
        if self._idle:
            self._idle.cancel()
            self._idle = None


def _head(request: Request, response: Response) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    lines.append(f"Date: {formatdate(usegmt=True)}")
    if response.status != HTTPStatus.NO_CONTENT and request.method != "HEAD":
        lines.append(f"Content-Length: {len(response.body)}")
    if not request.keeps_alive:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
