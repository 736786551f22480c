"""A server that keeps a value for each key, in a process of its own, and may be told to lie: the truth about it is known.

`python suites/support/kvserver.py MODE` prints its port. `PUT /kv/KEY` keeps the body and answers its version, `GET` answers
the body or 404.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httptools

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERY = 20


@contextmanager
def kv_server(mode: str) -> Iterator[str]:
    """Serve on loopback, and return the base URL.

    Args:
        mode: `honest`; `forgets` (every twentieth write, though it acknowledges it); `refuses` (every twentieth write,
            with 503, though it keeps it); `nonsense` (answers of reads are no JSON); `swaps` (every twentieth read is
            answered with what the read before it was answered with).
    """
    process = subprocess.Popen([sys.executable, str(Path(__file__)), mode], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


class _Conversation(asyncio.Protocol):
    """One connection; its parser calls the methods whose names begin with `on_`."""

    kept: dict[str, tuple[int, bytes]] = {}  # noqa: RUF012 - of all connections
    writes = reads = 0
    last: tuple[int, bytes] = (0, b"")

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # TCP gives a full transport

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.url, self.body = "", b""

    def on_url(self, url: bytes) -> None:
        self.url += url.decode()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        key, method = self.url.rpartition("/")[2], self.parser.get_method()
        if method == b"GET":
            version, body = self._read(key)
            said = b"<html>" if self.mode == "nonsense" else body
            self._answer(200 if version else 404, said, version)
            return
        _Conversation.writes += 1
        is_odd = _Conversation.writes % EVERY == 0
        version = _Conversation.writes
        if not (is_odd and self.mode == "forgets"):
            self.kept[key] = version, self.body
        said = b'{"task": "t-%d"}' % version
        self._answer(503 if is_odd and self.mode == "refuses" else 200, said, version)

    def _read(self, key: str) -> tuple[int, bytes]:
        _Conversation.reads += 1
        found, before = self.kept.get(key, (0, b"")), _Conversation.last
        _Conversation.last = found
        return before if self.mode == "swaps" and _Conversation.reads % EVERY == 0 else found

    def _answer(self, status: int, body: bytes, version: int) -> None:
        head = f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\nx-version: {version}\r\n\r\n"
        self.transport.write(head.encode() + body)


async def _serve(mode: str) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Conversation(mode), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - how our parent learns the port
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
