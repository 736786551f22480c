"""A server that does nothing: what a request to it takes is what the load generator adds by itself.

A program of its own, so that it shares no interpreter with the generator. It says its port, answers everything with the
same bytes, and ends when its input does. Asked for `/compute/SECONDS` it first uses that much processor time.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"
COMPUTE = b"GET /compute/"


class _Conversation(asyncio.Protocol):
    """One connection; its requests have no bodies."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._held = b""

    def data_received(self, data: bytes) -> None:
        *whole, self._held = (self._held + data).split(b"\r\n\r\n")
        for request in whole:
            _compute(request)
        self._transport.write(ANSWER * len(whole))  # type: ignore[attr-defined]  # TCP gives a full transport


def _compute(request: bytes) -> None:
    """Use the processor time that is asked for: a clock of the wall would go on while others have the processor."""
    _, _, asked = request.partition(COMPUTE)
    until_s = time.thread_time() + float(asked.split(b" ", 1)[0]) if asked else 0.0
    while time.thread_time() < until_s:
        pass


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
