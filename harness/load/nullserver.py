"""A server that does nothing: what a request to it takes is what the load generator adds by itself.

A program of its own, so that it shares no interpreter with the generator. It says its port, answers everything with the
same bytes, and ends when its input does.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"


class _Conversation(asyncio.Protocol):
    """One connection; its requests have no bodies."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._held = b""

    def data_received(self, data: bytes) -> None:
        *whole, self._held = (self._held + data).split(b"\r\n\r\n")
        self._transport.write(ANSWER * len(whole))  # type: ignore[attr-defined]  # TCP gives a full transport


async def _serve() -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    server = await loop.create_server(_Conversation, "127.0.0.1", 0, backlog=1024)
    loop.add_reader(sys.stdin.fileno(), ended.set)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await ended.wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve())
