"""A port in front of a real server, so that an outage is a fact and not a mock: cut, silent, and mended again."""

from __future__ import annotations

import asyncio

from suites.support.servers import free_port


class Relay:
    """A port in front of another one.

    Attributes:
        accepted: Connections made to it since the start, count.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream, self.port = upstream, free_port()
        self.accepted = 0
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task] = set()
        self._is_speaking = asyncio.Event()

    @property
    def open_count(self) -> int:
        """Return how many connections lead through it now."""
        return len(self._links)

    async def mend(self) -> None:
        """Listen, and pass on what comes, also what came while it was silent."""
        self._is_speaking.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    def silence(self) -> None:
        """Pass nothing on, in either direction; every connection stays open and none is reset."""
        self._is_speaking.clear()

    async def cut(self) -> None:
        """Reset all connections and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._links:
            task.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        self._links.add(task)
        far_writer = None
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, far_writer))
                pumps.create_task(self._pump(far_reader, writer))
        except* (OSError, EOFError):
            pass
        except* asyncio.CancelledError:
            pass
        finally:
            writer.transport.abort()
            if far_writer is not None:
                far_writer.transport.abort()
            self._links.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._is_speaking.wait()
            writer.write(data)
            await writer.drain()
        raise EOFError
