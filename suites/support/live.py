"""Clients of `/live`: one that behaves, over a real WebSocket, and one that does nothing after its handshake."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from suites.support.replicas import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI
    from websockets.asyncio.client import ClientConnection

PATIENT_S = 30.0  # what is waited for comes at once, but on a crowded machine


class Listener:
    """A client.

    Attributes:
        replica: What the answer to its handshake, or the welcome, said of who serves it.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        assert connection.response is not None
        self.headers = connection.response.headers
        self.replica = self.headers["x-replica"]

    async def hears(self) -> dict[str, Any]:
        """Return the next message."""
        async with asyncio.timeout(PATIENT_S):
            return json.loads(await self.connection.recv())

    async def asks(self, **message: object) -> dict[str, Any]:
        """Send a message; return the next one that comes."""
        await self.connection.send(json.dumps(message))
        return await self.hears()

    async def subscribes(self, *items: int, **versions: int) -> dict[str, Any]:
        """Subscribe to items, and to those of which it has versions (`v7=12`); return the answer, which must be one."""
        wanted: list[dict[str, int]] = [{"item": item} for item in items]
        wanted += [{"item": int(name[1:]), "version": version} for name, version in versions.items()]
        answer = await self.asks(type="subscribe", items=wanted)
        assert answer["type"] in {"subscribed", "error"}, answer
        return answer

    async def ended(self) -> int:
        """Wait for its end, whatever is said before; return the code."""
        async with asyncio.timeout(PATIENT_S):
            with suppress(ConnectionClosed):
                while True:
                    await self.connection.recv()
        assert self.connection.close_code is not None
        return self.connection.close_code


@asynccontextmanager
async def listener(port: int, **headers: str) -> AsyncIterator[Listener]:
    """Connect, and hear the welcome; raises `InvalidStatus` if it is turned away."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"ws://127.0.0.1:{port}/live"
    async with connect(url, additional_headers=told, proxy=None, ping_interval=None, open_timeout=PATIENT_S) as opened:
        client = Listener(opened)
        welcome = await client.hears()
        assert (welcome["type"], welcome["replica"]) == ("welcome", client.replica)
        client.welcome = welcome
        yield client


class Mute:
    """A client that answers nothing, not even pings, and reads only when it is told to."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    async def rest(self) -> bytes:
        """Read until the connection ends; return all of it."""
        read = b""
        async with asyncio.timeout(PATIENT_S):
            with suppress(ConnectionResetError):
                while data := await asyncio.get_running_loop().sock_recv(self._socket, 65_536):
                    read += data
        return read

    async def is_reset(self) -> bool:
        """Tell whether the other side has cut the connection: it takes no more, though nothing was read."""
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, b"\x8a\x80\0\0\0\0")  # a pong, of no ping
        except ConnectionError:
            return True
        return False

    async def says(self, text: str) -> None:
        """Send one short message, as a client must: masked."""
        data = text.encode()
        assert len(data) < 126
        frame = bytes([0x81, 0x80 | len(data), 0, 0, 0, 0]) + data  # masked with zeros
        await asyncio.get_running_loop().sock_sendall(self._socket, frame)


@asynccontextmanager
async def mute(port: int) -> AsyncIterator[Mute]:
    """Connect with a tiny window, and read no further than the answer to the handshake."""
    loop = asyncio.get_running_loop()
    with socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        opened.setblocking(False)
        await loop.sock_connect(opened, ("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ["GET /live HTTP/1.1", "host: here", "connection: upgrade", "upgrade: websocket"]
        lines += [f"sec-websocket-key: {key}", "sec-websocket-version: 13", "", ""]
        await loop.sock_sendall(opened, "\r\n".join(lines).encode())
        answer = b""
        async with asyncio.timeout(PATIENT_S):
            while b"\r\n\r\n" not in answer:
                answer += await loop.sock_recv(opened, 1)
        assert answer.startswith(b"HTTP/1.1 101"), answer
        yield Mute(opened)


@asynccontextmanager
async def listening(app: FastAPI, **options: Any) -> AsyncIterator[int]:
    """Serve an application under uvicorn in this process, so that a test may look inside; yield its port.

    The kernel keeps little of what a client does not take, which is megabytes by default.
    """
    listens = socket.create_server(("127.0.0.1", 0))
    listens.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # inherited by each connection
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, **options))
    serving = asyncio.create_task(server._serve([listens]))  # `serve` would take the signals of the tests

    async def is_up() -> bool:
        if serving.done():
            serving.result()
        return server.started

    try:
        await until(is_up)
        yield listens.getsockname()[1]
    finally:
        server.should_exit = True
        async with asyncio.timeout(PATIENT_S):
            await serving
