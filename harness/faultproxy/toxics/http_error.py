"""`http_error`: requests are answered with a status of choice and never reach the server. An extension of ours."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING

import httptools

from harness.faultproxy.request_parser import RequestParser

if TYPE_CHECKING:
    from harness.faultproxy.request_parser import Head
    from harness.faultproxy.toxics.stage import Stub

# More than servers take for a head (nginx 32 KiB, Node 16 KiB); a stream without one in so many bytes is not HTTP.
MAX_HEAD_BYTES = 64 * 1024
STATUSES = {status.value: status.phrase for status in HTTPStatus if status >= 200}
# These never have a body, so they must not announce one (RFC 9110, 8.6).
BODILESS = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
# What a status must bring along (RFC 9110, 11.6.1, 15.5.6, 11.7.1, 15.5.22).
COMPANIONS = {
    HTTPStatus.UNAUTHORIZED: ['WWW-Authenticate: Basic realm="fault proxy"'],
    HTTPStatus.METHOD_NOT_ALLOWED: ["Allow: "],
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: ['Proxy-Authenticate: Basic realm="fault proxy"'],
    HTTPStatus.UPGRADE_REQUIRED: ["Upgrade: HTTP/2.0"],
}
# How long a client may read its last answer before the connection is gone; as in our own API, seconds.
PARTING_S = 0.5


@dataclass(frozen=True, slots=True)
class HttpError:
    """Answer HTTP/1 requests in the server's place; the connection stays, unless the client wants it to end.

    A client that asks with `Expect: 100-continue` before it sends a body gets its answer at once, and the connection
    ends. It works on the upstream stream, without TLS, for clients that wait for each answer before they ask again.
    What is not HTTP/1 passes, as HTTP/2 does and what follows an upgrade.

    Attributes:
        status: The status code.
        retry_after: Seconds for the header Retry-After; 0 leaves it out.
        body: The text of the answer.
        path_prefix: Only requests whose path begins like this are answered; the others pass.
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

    def strikes(self, head: Head) -> bool:
        """Tell whether a request is answered here."""
        return head.path.startswith(self.path_prefix.encode())

    def answer(self, head: Head, *, is_last: bool) -> bytes:
        """Return the response to a request, head and body.

        Args:
            head: Of the request.
            is_last: The connection ends behind it.
        """
        body = b"" if self.status == HTTPStatus.RESET_CONTENT else self.body.encode()
        lines = [f"HTTP/1.1 {self.status} {STATUSES[self.status]}", f"Date: {formatdate(usegmt=True)}"]
        lines += COMPANIONS.get(HTTPStatus(self.status), [])
        lines += [f"Retry-After: {self.retry_after}"] if self.retry_after else []
        lines += _connection(head, is_last=is_last, offers=self.status == HTTPStatus.UPGRADE_REQUIRED)
        if self.status not in BODILESS:
            lines += ["Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(body)}"]
        is_bare = head.method == "HEAD" or self.status in BODILESS
        return "\r\n".join([*lines, "", ""]).encode() + (b"" if is_bare else body)


def _connection(head: Head, *, is_last: bool, offers: bool) -> list[str]:
    """Say what becomes of the connection where the version does not say it (RFC 9112, 9.3)."""
    options = ["close"] if is_last else ["keep-alive"] if head.version == "1.0" else []
    options += ["upgrade"] if offers else []
    return [f"Connection: {', '.join(options)}"] if options else []


class HttpErrorStage:
    """HTTP errors on one link: a request is held until its head is whole, then passed or swallowed."""

    is_full = False

    def __init__(self, settings: HttpError, stub: Stub) -> None:
        self._settings = settings
        self._stub = stub
        self._parser: RequestParser | None = RequestParser(self)
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._is_in_head = self._is_in_body = self._is_struck = self._is_parting = False

    def receive(self, data: bytes) -> None:
        """Parse, then let go of what is decided."""
        if self._is_parting:
            return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._parser:
            self._parse(self._parser, data)
        if self._held_bytes > MAX_HEAD_BYTES:
            self._stop_parsing()
        if not self._is_in_head:
            self._let_go()

    def end(self) -> None:
        """Pass the end on, behind what was half a request; behind a last answer it is the end of both sides."""
        if self._is_parting:
            self._stub.close()
            return
        self._let_go()
        self._stub.end()

    def retune(self, settings: HttpError) -> None:
        """Answer the next request otherwise."""
        self._settings = settings

    def release(self) -> None:
        """Pass what is held; what had its last answer, or half a request swallowed, is beyond saving."""
        if self._is_parting:
            self._stub.close()
        elif self._is_struck and self._is_in_body:
            self._stub.reset()
        else:
            self._let_go()

    def request_begins(self) -> None:
        """Start to hold (called by the parser, as the next four are)."""
        self._is_in_head = True

    def head_grows(self, size_bytes: int) -> None:
        """Count nothing: what is held is counted."""

    def head_ends(self, head: Head) -> None:
        """Decide. A client that holds its body back is answered at once, and whether the body comes is never known."""
        self._head = head
        self._is_in_head, self._is_in_body = False, True
        self._is_struck = not self._is_parting and self._settings.strikes(head)
        if self._is_struck and head.awaits_continue:
            self._answer(is_last=True)

    def body_grows(self, part: bytes) -> None:
        """Leave the body to what is held."""

    def request_ends(self) -> None:
        """Answer."""
        if self._is_struck and not self._is_parting:
            self._answer(is_last=not self._head.keeps_alive)
        self._let_go()
        self._is_in_body = self._is_struck = False

    def _answer(self, *, is_last: bool) -> None:
        self._stub.hit()
        self._stub.reply(self._settings.answer(self._head, is_last=is_last))
        if is_last:
            # Our side ends first: a socket that is closed while bytes come in resets, and takes the answer with it.
            self._is_parting = True
            self._stub.end_replies()
            self._stub.arm(PARTING_S, self._stub.close)

    def _parse(self, parser: RequestParser, data: bytes) -> None:
        try:
            parser.feed(data)
        except (httptools.HttpParserUpgrade, httptools.HttpParserError):
            # A tunnel, WebSocket, TLS, or no HTTP at all.
            self._stop_parsing()

    def _stop_parsing(self) -> None:
        """Let all pass from now on, since nothing can be told apart any more."""
        self._parser = None
        self._is_in_head = self._is_struck = False

    def _let_go(self) -> None:
        if not (self._is_struck or self._is_parting):
            for data in self._held:
                self._stub.send(data)
        self._held.clear()
        self._held_bytes = 0
