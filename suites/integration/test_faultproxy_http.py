"""HTTP under the fault proxy's API: how long a client is waited for, and how much it may leave with us.

The patience of the program is Toxiproxy's, seconds and minutes; here it is short, and the sockets are real.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest

from harness.faultproxy.httpd import PATIENCE, HttpConnection, Patience, Response
from suites.support.faultproxy import DEADLINE_S

SHORT_S = 0.2
# What is not on trial in a test must not end it.
LONG_S = 60.0
ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
# More than the kernel keeps between the two (tcp_wmem allows 4 MiB, the client asks for little).
MUCH_BYTES = 8 * 2**20


async def hello(_request):
    return Response(200, b"hello")


@contextlib.asynccontextmanager
async def visiting(answer=hello, **patience):
    """Serve on a socket of its own, and connect; yield the client's two ends."""
    settings = Patience(**{"request_s": LONG_S, "idle_s": LONG_S, "answer_s": LONG_S, **patience})
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: HttpConnection(answer, settings), "127.0.0.1", 0) as server:
        client = socket.create_connection(server.sockets[0].getsockname(), timeout=DEADLINE_S)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader, writer = await asyncio.open_connection(sock=client)
        try:
            yield reader, writer
        finally:
            writer.close()


async def answered(reader) -> None:
    """Read the answer of `hello`."""
    async with asyncio.timeout(DEADLINE_S):
        await reader.readuntil(b"\r\n\r\nhello")


async def ended_after_s(reader) -> float:
    """Read to the end; return how long it took to come."""
    started_s = time.monotonic()
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(ConnectionError):
            await reader.read()
    return time.monotonic() - started_s


def test_patience_is_toxiproxys():
    """15 s for a request, 60 s between requests, 30 s for an answer."""
    assert Patience(request_s=15, idle_s=60, answer_s=30) == PATIENCE


async def test_a_client_that_says_nothing_is_not_waited_for():
    """A first request is due in the time of a request, not in that of idleness."""
    async with visiting(request_s=SHORT_S) as (reader, _):
        assert await ended_after_s(reader) > 0.9 * SHORT_S


@pytest.mark.parametrize(
    ("begun", "rest"), [(b"", b"GET / HTTP/1.1\r\nX: "), (ASK, b"POST / HTTP/1.1\r\nContent-Length: 9999\r\n\r\n")]
)
async def test_a_request_that_trickles_in_is_given_up(begun, rest):
    """A byte now and then wins no time, in head or body, in the first request or a later one."""
    async with visiting(request_s=SHORT_S) as (reader, writer):
        writer.write(begun)
        if begun:
            await answered(reader)
        writer.write(rest)
        deadline_s = time.monotonic() + DEADLINE_S
        while not await is_over_within(reader, SHORT_S / 10):
            assert time.monotonic() < deadline_s
            writer.write(b"x")


async def is_over_within(reader, seconds: float) -> bool:
    """Tell whether the connection ends in time."""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(seconds):
            return await reader.read(1) == b""
    return False


async def test_an_idle_client_is_let_go():
    """After its answer it has the longer time of idleness, and no more."""
    async with visiting(request_s=SHORT_S, idle_s=3 * SHORT_S) as (reader, writer):
        writer.write(ASK)
        await answered(reader)

        assert await ended_after_s(reader) > 2.5 * SHORT_S


async def test_a_long_answer_is_not_the_clients_fault():
    """The time of a request ends with its last byte; how long we take is not counted."""
    is_thought = asyncio.Event()

    async def think(_request):
        await is_thought.wait()
        return Response(200, b"hello")

    async with visiting(think, request_s=SHORT_S, idle_s=SHORT_S) as (reader, writer):
        writer.write(ASK)
        assert not await is_over_within(reader, 2 * SHORT_S)
        is_thought.set()

        await answered(reader)


async def test_a_client_that_takes_no_answer_is_cut():
    """After a while, whatever is left to say."""

    async def much(_request):
        return Response(200, bytes(MUCH_BYTES))

    async with visiting(much, answer_s=SHORT_S) as (_, writer):
        writer.transport.pause_reading()
        writer.write(ASK)

        async with asyncio.timeout(DEADLINE_S):
            while not writer.transport.is_closing():
                writer.write(b" ")
                await asyncio.sleep(0.01)


async def test_requests_are_not_taken_faster_than_their_answers():
    """A client that asks and asks without reading is soon not heard any more."""
    asked = 0

    async def count(_request):
        nonlocal asked
        asked += 1
        return Response(200, bytes(MUCH_BYTES // 8))

    async with visiting(count) as (_, writer):
        writer.transport.pause_reading()
        writer.write(ASK * 200)

        assert 0 < await settled(lambda: asked) < 50


async def settled(value) -> int:
    """Return what `value` comes to, once it is not 0 and has not changed for a while."""
    async with asyncio.timeout(DEADLINE_S):
        before, now = 0, value()
        while not now or now != before:
            await asyncio.sleep(SHORT_S)
            before, now = now, value()
    return now


async def test_a_client_that_has_finished_asking_gets_its_answer():
    """FIN behind a request is no reason to fall silent, however long the answer takes."""
    is_thought = asyncio.Event()

    async def think(_request):
        await is_thought.wait()
        return Response(200, b"hello")

    async with visiting(think) as (reader, writer):
        writer.write(ASK)
        writer.write_eof()
        assert not await is_over_within(reader, SHORT_S)
        is_thought.set()

        await answered(reader)
        assert await ended_after_s(reader) < 1
