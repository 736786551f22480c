"""A port in front of another one, which can be cut, silenced, and mended: an outage as a fact, not as a mock."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, suppress
from typing import Self

from suites.support.servers import free_port

CHUNK_BYTES = 65_536


class Relay:
    """Pass bytes on, both ways.

    Attributes:
        port: Where it listens while it is not cut.
        accepted: Connections since the start, count.
        asked_bytes: Received from clients since the start, whether or not it was passed on, count.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream, self.port = upstream, free_port()
        self.accepted = self.asked_bytes = 0
        self._listening: socket.socket | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._passes = asyncio.Event()
        self._passes.set()

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    @property
    def open_count(self) -> int:
        """Return how many connections lead through it now."""
        return len(self._links)

    async def mend(self) -> None:
        """Listen if it does not, and pass everything on, what was kept back first."""
        self._passes.set()
        if self._listening is None:
            self._listening = socket.create_server(("127.0.0.1", self.port), backlog=100)
            self._listening.setblocking(False)
            asyncio.get_running_loop().add_reader(self._listening, self._accept)

    def silence(self) -> None:
        """Go on accepting, keep connections open, take what is sent, and pass nothing on: no answer, and no error."""
        self._passes.clear()

    async def cut(self) -> None:
        """Refuse new connections and reset those there are."""
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = None
        await asyncio.sleep(0)  # each link has begun then, so that it can end itself
        links = tuple(self._links)
        for task in links:
            task.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    def _accept(self) -> None:
        # Not asyncio's own server: closed between accepting and connecting, it loses the connection, open as it is.
        with suppress(BlockingIOError, ConnectionAbortedError):
            accepted, _ = self._listening.accept()
            accepted.setblocking(False)
            self.accepted += 1
            task = asyncio.create_task(self._link(accepted))
            self._links.add(task)
            task.add_done_callback(self._links.discard)

    async def _link(self, accepted: socket.socket) -> None:
        with ExitStack() as leaving:
            try:
                near_reader, near = await asyncio.open_connection(sock=accepted)
                leaving.callback(near.transport.abort)
                far_reader, far = await asyncio.open_connection("127.0.0.1", self.upstream)
                leaving.callback(far.transport.abort)
                async with asyncio.TaskGroup() as pumps:
                    pumps.create_task(self._pump(near_reader, far, is_asking=True))
                    pumps.create_task(self._pump(far_reader, near, is_asking=False))
            except* (OSError, EOFError):
                pass

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_asking: bool) -> None:
        while data := await reader.read(CHUNK_BYTES):
            self.asked_bytes += len(data) if is_asking else 0
            await self._passes.wait()
            writer.write(data)
            await writer.drain()
        raise EOFError
