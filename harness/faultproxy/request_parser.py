"""HTTP/1 requests out of bytes, parsed by httptools; offers to upgrade are passed over, as RFC 9110 (7.8) lets servers.

httptools stops behind the head of a request that makes such an offer and takes its body for another protocol. Java's
`java.net.http.HttpClient` and `curl --http2` make it in each first request, and then wait for an ordinary answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import httptools

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTHORITY = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


@dataclass(frozen=True, slots=True)
class Head:
    """The head of one request.

    Attributes:
        method: As sent; HTTP's own are in capitals.
        target: As sent, percent-encoded, with its query.
        version: `1.0` or `1.1`.
        headers: Values by names in lower case; of several with one name, the last.
        keeps_alive: The client wants the connection to stay, by its version and its header Connection.
    """

    method: str
    target: bytes
    version: str
    headers: Mapping[bytes, bytes]
    keeps_alive: bool

    @property
    def path(self) -> bytes:
        """Return the target without scheme and host, which clients of HTTP proxies send along (RFC 9112, 3.2.2)."""
        return self.target if self.target.startswith(b"/") else AUTHORITY.sub(b"", self.target, count=1) or b"/"

    @property
    def awaits_continue(self) -> bool:
        """Tell whether the client holds its body back until it is asked for it (RFC 9110, 10.1.1)."""
        return self.version != "1.0" and self.headers.get(b"expect", b"").lower() == b"100-continue"


class RequestReader(Protocol):
    """What is told of each request, in this order."""

    def request_begins(self) -> None:
        """Take note of its first byte."""

    def head_grows(self, size_bytes: int) -> None:
        """Take note of so much more of its head."""

    def head_ends(self, head: Head) -> None:
        """Take the head, now whole."""

    def body_grows(self, part: bytes) -> None:
        """Take a part of the body."""

    def request_ends(self) -> None:
        """Take note of its last byte."""


class RequestParser:
    """Tell a reader of requests, as their bytes come in.

    Args:
        reader: What is told.
    """

    def __init__(self, reader: RequestReader) -> None:
        self._reader = reader
        self._is_again = False
        self._start()

    def feed(self, data: bytes) -> None:
        """Read on.

        Raises:
            httptools.HttpParserError: If this is not HTTP/1.
            httptools.HttpParserUpgrade: Behind CONNECT, where another protocol begins.
        """
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if self._parser.get_method() == b"CONNECT":
                    raise
                # The same head without its offer, and what came behind it, is an ordinary request.
                data = self._head_again() + data[offer.args[0] :]
            else:
                return

    def on_message_begin(self) -> None:
        """Start a request (called by httptools, as all `on_` methods are)."""
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        if not self._is_again:
            self._reader.request_begins()

    def on_url(self, part: bytes) -> None:
        """Collect the target, which may come in parts."""
        self._target += part
        self._grow(len(part))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect the headers."""
        self._headers.append((name, value))
        self._grow(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """Hand on the head, unless it is to be read again."""
        if self._is_offer():
            return
        self._is_again = False
        self._reader.head_ends(
            Head(
                method=self._parser.get_method().decode("latin-1"),
                target=self._target,
                version=self._parser.get_http_version(),
                headers={name.lower(): value for name, value in self._headers},
                keeps_alive=self._parser.should_keep_alive() and not self._parser.should_upgrade(),
            )
        )

    def on_body(self, part: bytes) -> None:
        """Hand on a part of the body."""
        self._reader.body_grows(part)

    def on_message_complete(self) -> None:
        """Hand on the end; behind a head that is to be read again it is none."""
        if not self._is_offer():
            self._reader.request_ends()

    def _is_offer(self) -> bool:
        return self._parser.should_upgrade() and self._parser.get_method() != b"CONNECT"

    def _grow(self, size_bytes: int) -> None:
        if not self._is_again:
            self._reader.head_grows(size_bytes)

    def _head_again(self) -> bytes:
        """Return the head without its offer, for a parser that has not seen it."""
        lines = [b"%s %s HTTP/%s" % (self._parser.get_method(), self._target, self._parser.get_http_version().encode())]
        lines += [b"%s: %s" % header for header in self._headers if header[0].lower() != b"upgrade"]
        self._start()
        self._is_again = True
        return b"\r\n".join([*lines, b"", b""])

    def _start(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
