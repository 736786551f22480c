"""`http_error`: requests are answered with a status of choice and never reach the server. An extension of ours."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import httptools

if TYPE_CHECKING:
    from harness.faultproxy.toxics.stage import Stub

# More than servers take for a head (nginx 32 KiB, Node 16 KiB); a stream without one in so many bytes is not HTTP.
MAX_HEAD_BYTES = 64 * 1024
STATUSES = {status.value: status.phrase for status in HTTPStatus if status >= 200}


@dataclass(frozen=True, slots=True)
class HttpError:
    """Answer HTTP/1.1 requests in the server's place; the connection stays as it is.

    It works on the upstream stream, without TLS, for clients that wait for each answer before they ask again.

    Attributes:
        status: The status code.
        retry_after: Seconds for the header Retry-After; 0 leaves it out.
        body: The text of the answer.
        path_prefix: Only requests whose target begins like this are answered; the others pass.
    """

    status: int = 503
    retry_after: int = 0
    body: str = ""
    path_prefix: str = "/"

    def problem(self) -> str | None:
        """Refuse what is not an answer."""
        if self.status not in STATUSES:
            return "status must be an HTTP status of 200 or above"
        return None if self.retry_after >= 0 else "retry_after must not be negative"

    def stage(self, stub: Stub) -> HttpErrorStage:
        """Return the stage for one link."""
        return HttpErrorStage(self, stub)

    def answer(self) -> bytes:
        """Return the response, head and body."""
        body = self.body.encode()
        head = [f"HTTP/1.1 {self.status} {STATUSES[self.status]}", "Content-Type: text/plain; charset=utf-8"]
        head += [f"Retry-After: {self.retry_after}"] if self.retry_after else []
        # These two never have a body, so they must not announce one (RFC 9110, 8.6).
        if self.status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
            return ("\r\n".join(head) + "\r\n\r\n").encode()
        return ("\r\n".join([*head, f"Content-Length: {len(body)}"]) + "\r\n\r\n").encode() + body


class HttpErrorStage:
    """HTTP errors on one link: a request is held until its head is whole, then passed or swallowed."""

    is_full = False

    def __init__(self, settings: HttpError, stub: Stub) -> None:
        self._settings = settings
        self._stub = stub
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._target = b""
        self._is_in_head = self._is_in_body = self._is_struck = False

    def receive(self, data: bytes) -> None:
        """Parse, then let go of what is decided."""
        self._held.append(data)
        self._held_bytes += len(data)
        if self._parser:
            self._parse(self._parser, data)
        if self._held_bytes > MAX_HEAD_BYTES:
            self._stop_parsing()
        if not self._is_in_head:
            self._let_go()

    def end(self) -> None:
        """Pass the end on, behind what was half a request."""
        self._let_go()
        self._stub.end()

    def retune(self, settings: HttpError) -> None:
        """Answer the next request otherwise."""
        self._settings = settings

    def release(self) -> None:
        """Pass what is held; a request of which half was swallowed is beyond saving."""
        if self._is_struck and self._is_in_body:
            self._stub.reset()
        else:
            self._let_go()

    def on_message_begin(self) -> None:
        """Start to hold (called by the parser, as all `on_` methods are)."""
        self._target = b""
        self._is_in_head = True

    def on_url(self, part: bytes) -> None:
        """Collect the target."""
        self._target += part

    def on_headers_complete(self) -> None:
        """Decide."""
        self._is_in_head, self._is_in_body = False, True
        self._is_struck = self._target.startswith(self._settings.path_prefix.encode())

    def on_message_complete(self) -> None:
        """Answer."""
        if self._is_struck:
            self._stub.hit()
            self._stub.reply(self._settings.answer())
        self._let_go()
        self._is_in_body = self._is_struck = False

    def _parse(self, parser: httptools.HttpRequestParser, data: bytes) -> None:
        try:
            parser.feed_data(data)
        except (httptools.HttpParserUpgrade, httptools.HttpParserError):
            # WebSocket, TLS, or no HTTP at all.
            self._stop_parsing()

    def _stop_parsing(self) -> None:
        """Let all pass from now on, since nothing can be told apart any more."""
        self._parser = None
        self._is_in_head = self._is_struck = False

    def _let_go(self) -> None:
        if not self._is_struck:
            for data in self._held:
                self._stub.send(data)
        self._held.clear()
        self._held_bytes = 0
