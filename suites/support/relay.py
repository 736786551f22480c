"""A port in front of a server that can be cut and mended, so that an outage is a fact and not a mock."""

from __future__ import annotations

import asyncio

from suites.support.servers import free_port


class Relay:
    """A port in front of another one that can be cut and mended.

    Attributes:
        accepted: Connections since the start, count.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream, self.port, self.accepted = upstream, free_port(), 0
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task] = set()

    @property
    def open_count(self) -> int:
        """Return how many connections lead through it now."""
        return len(self._links)

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._links:
            task.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._links.add(task)
        self.accepted += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(_pump(reader, far_writer))
                pumps.create_task(_pump(far_reader, writer))
        except* (OSError, EOFError):
            pass
        except* asyncio.CancelledError:
            pass
        finally:
            writer.transport.abort()
            far_writer.transport.abort()
            self._links.discard(task)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    raise EOFError
