"""A service that only its members may ask: each logs in, gets a token and a cookie, and has things of its own."""

from __future__ import annotations

import json
import secrets
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

PASSWORD = "correct horse battery staple"  # noqa: S105 - of a service that stands for a minute


@dataclass
class Members:
    """A running service, and what it has heard.

    Attributes:
        base_url: Where it is asked.
        entered: Who has logged in, in order.
        asked: Who asked for what, with which session: (member, method, path, body).
    """

    base_url: str = ""
    entered: list[str] = field(default_factory=list)
    asked: list[tuple[str, str, str, str]] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    request_queue_size = 256

    def __init__(self, kept: Members) -> None:
        super().__init__(("127.0.0.1", 0), _Door)
        self.kept = kept
        self.sessions: dict[str, str] = {}
        self.lock = threading.Lock()

    def opened(self, name: str) -> str:
        """Return a new session of a member."""
        with self.lock:
            session = secrets.token_hex(16)
            self.sessions[session] = name
            self.kept.entered.append(name)
        return session


class _Door(BaseHTTPRequestHandler):
    """GET /form gives a cookie; POST /login wants it back, and a password; the rest wants what that gave."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer(200, {"is": "well"})
        elif self.path == "/form":
            self._answer(200, {"csrf": "c-17"}, cookies=["csrf=c-17; Path=/; HttpOnly", "theme=dark"])
        else:
            self._as_a_member()

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers["content-length"] or 0)).decode()
        if self.path != "/login":
            self._as_a_member()
            return
        said = json.loads(self.body)
        if "csrf=c-17" not in (self.headers["cookie"] or "") or said["password"] != PASSWORD:
            self._answer(403, {"error": "who are you?"})
            return
        session = self.server.opened(said["name"])
        self._answer(200, {"token": {"value": f"t-{session}"}}, cookies=[f"session={session}; Path=/", "theme=light"])

    def _as_a_member(self) -> None:
        token = (self.headers["authorization"] or "").removeprefix("Bearer t-")
        cookies = dict(each.split("=", 1) for each in (self.headers["cookie"] or "a=b").split("; "))
        name = self.server.sessions.get(token)
        if name is None or cookies.get("session") != token or cookies.get("theme") != "light":
            self._answer(401, {"error": "log in first"})
            return
        with self.server.lock:
            self.server.kept.asked.append((name, self.command, self.path, getattr(self, "body", "")))
        self._answer(200, {"owner": name})

    def _answer(self, status: int, said: object, cookies: tuple[str, ...] | list[str] = ()) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        for each in cookies:
            self.send_header("Set-Cookie", each)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


@contextmanager
def members(tls: ssl.SSLContext | None = None) -> Iterator[Members]:
    """Serve on loopback, over TLS where there is a context for it."""
    kept = Members()
    with _Server(kept) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        kept.base_url = f"{'http' if tls is None else 'https'}://localhost:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield kept
        finally:
            server.shutdown()
            thread.join()
