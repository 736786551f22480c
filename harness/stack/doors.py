"""Let the harness look through a service's own doors: `python3 doors.py PORT=NAME:PORT …`, in a container of its own.

What a service of a compose file reaches stands in a network of that service's own, where nothing else is: from outside
nobody sees a path as the service does. This script stands in the network of the service's container, listens on each
PORT, and passes every connection on to NAME:PORT as the service itself would reach it, by the same name. It only
carries what the harness asks; what the service sends never comes through here.

A connection that is refused there, or reset, is reset here. It runs where nothing of the harness is installed, so it
imports nothing but the standard library.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from contextlib import suppress

_PIECE_BYTES = 1 << 16
_LINGER_NONE = struct.pack("ii", 1, 0)  # socket(7), SO_LINGER: what is closed so is reset


async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
    """Pass one connection on, until both sides have ended or one is reset."""
    try:
        there = await asyncio.open_connection(host, port)
    except OSError:
        reset(writer)
        return
    ways = (carried(reader, there[1]), carried(there[0], writer))
    ended = await asyncio.gather(*ways, return_exceptions=True)
    end = reset if any(isinstance(each, BaseException) for each in ended) else asyncio.StreamWriter.close
    end(writer)
    end(there[1])


async def carried(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry what comes one way, and its end.

    Raises:
        OSError: If either side is reset; the other one is then reset as well.
    """
    try:
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
    except OSError:
        reset(writer)
        raise


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a reset does."""
    with suppress(OSError, AttributeError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    writer.transport.abort()


async def serve(doors: list[str]) -> None:
    """Listen at every door, for ever."""
    servers = [await listening(door) for door in doors]
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def listening(door: str) -> asyncio.Server:
    """Listen at one door, `PORT=NAME:PORT`."""
    listen, _, leads = door.partition("=")
    host, _, port = leads.rpartition(":")

    async def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await passed_on(reader, writer, host, int(port))

    return await asyncio.start_server(enter, "0.0.0.0", int(listen))  # noqa: S104 - published on loopback only


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1:]))
