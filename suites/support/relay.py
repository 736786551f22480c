"""A port in front of another one, which can be cut, silenced, and mended: an outage as a fact, not as a mock."""

from __future__ import annotations

import asyncio
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
        self._server: asyncio.Server | None = None
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
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    def silence(self) -> None:
        """Go on accepting, keep connections open, take what is sent, and pass nothing on: no answer, and no error."""
        self._passes.clear()

    async def cut(self) -> None:
        """Refuse new connections and reset those there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        links = tuple(self._links)
        for task in links:
            task.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # accepted in the moment it was cut
            writer.transport.abort()
            return
        self.accepted += 1
        task = asyncio.create_task(self._link(reader, writer))
        self._links.add(task)
        task.add_done_callback(self._links.discard)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transports = [writer.transport]
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
            transports.append(far_writer.transport)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, far_writer, is_asking=True))
                pumps.create_task(self._pump(far_reader, writer, is_asking=False))
        except* (OSError, EOFError):
            pass
        finally:
            for transport in transports:
                transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_asking: bool) -> None:
        while data := await reader.read(CHUNK_BYTES):
            self.asked_bytes += len(data) if is_asking else 0
            await self._passes.wait()
            writer.write(data)
            await writer.drain()
        raise EOFError
